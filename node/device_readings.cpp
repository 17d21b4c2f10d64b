// SPDX-License-Identifier: Apache-2.0
#include "node/device_readings.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace consort::node {

namespace {

constexpr std::uint64_t per_mille = 1000;
constexpr std::string_view says_words = "its plugin's telemetry says ";
constexpr std::string_view unmapped_words
    = ": none of healthy, degraded, unhealthy; map it in the telemetry's health.words";

std::optional<std::uint64_t> whole(const answer_row& row, const char* name) {
  const auto figure = figure_of(row, name);
  return figure && *figure >= 0 ? std::optional(static_cast<std::uint64_t>(*figure)) : std::nullopt;
}

void set_known(std::optional<std::uint64_t>& figure, std::optional<std::uint64_t> now) {
  if (now)
    figure = now;
}

/// Takes the worst that was said, with the tool's own word and reason. Returns: whether anything
/// was.
bool read_health(const answer_row& row, device_reading& into) {
  const auto word = text_of(row, "health");
  if (!says_something(word))
    return false;
  // An unknown word is no good sign: only the three known ones are taken at their word.
  const auto health = word == "healthy"    ? device_health::healthy
                      : word == "degraded" ? device_health::degraded
                                           : device_health::unhealthy;
  if (health <= into.health)
    return true;
  into.health = health;
  const auto said = row.said.find("health");
  into.health_reason = says_words;
  into.health_reason += said == row.said.end() ? word : said->second;
  if (word != "degraded" && word != "unhealthy")
    into.health_reason += unmapped_words;
  else if (const auto why = text_of(row, "health_reason"); says_something(why))
    into.health_reason += ": " + why;
  return true;
}

/// Splits what all devices of a board show alike; the first takes what does not divide.
void split(std::map<std::string, device_reading>& round, const std::vector<std::string>& board,
           std::optional<std::uint64_t> device_reading::*figure) {
  std::optional<std::uint64_t> shown;
  for (const auto& uuid : board)
    if (const auto& one = round[uuid].*figure; one)
      shown = std::max(shown.value_or(0), *one);
  if (!shown)
    return;
  const auto share = *shown / board.size();
  for (const auto& uuid : board)
    round[uuid].*figure = share;
  round[board.front()].*figure = *shown - share * (board.size() - 1);
}

} // namespace

std::optional<std::string> unmapped_word(const device_reading& reading) {
  const std::string_view why = reading.health_reason;
  if (!why.starts_with(says_words) || !why.ends_with(unmapped_words))
    return std::nullopt;
  return std::string(
      why.substr(says_words.size(), why.size() - says_words.size() - unmapped_words.size()));
}

void device_readings::devices(const std::vector<device_spec>& found) {
  attributes_.clear();
  for (const auto& one : found)
    attributes_[one.uuid] = one.attributes;
}

std::string device_readings::uuid_of(const tool_query& query, const answer_row& row) const {
  auto id = text_of(row, "id");
  if (query.id_attribute.empty())
    return id;
  for (const auto& [uuid, attributes] : attributes_)
    if (const auto found = attributes.find(query.id_attribute);
        found != attributes.end() && found->second == id)
      return uuid;
  return {};
}

/// Utilization by a counter of the time with work, or (`idle`) without. A device that was never
/// without work since its counter was first read, or whose counter stands still for another reason,
/// is unknown.
void device_readings::read_counter(const std::string& uuid, const answer_row& row, bool idle,
                                   duration_us now_us, device_reading& into) {
  const auto counted_us = figure_of(row, "utilization");
  if (!counted_us)
    return;
  bool grew = false;
  if (const auto before = times_.find(uuid); before != times_.end()) {
    const auto grown = *counted_us - before->second.counted_us;
    const auto passed = now_us - before->second.at_us;
    grew = before->second.grew || grown > 0;
    // A counter that went back began anew.
    if (grown >= 0 && passed > 0 && (grew || !idle)) {
      const auto share = static_cast<std::uint32_t>(std::min(
          static_cast<double>(grown) * static_cast<double>(per_mille) / static_cast<double>(passed),
          static_cast<double>(per_mille)));
      into.utilization_pm = idle ? static_cast<std::uint32_t>(per_mille) - share : share;
    }
  }
  times_[uuid] = {*counted_us, now_us, grew};
}

std::string device_readings::unread(const tool_query& query, const device_spec& device) const {
  auto wanted = device.uuid;
  if (device.attributes.contains("partition")) // Its device's row is read for it.
    wanted.resize(std::min(wanted.rfind('/'), wanted.size()));
  std::string by = "id ";
  if (const auto& name = query.id_attribute; !name.empty()) {
    const auto found = device.attributes.find(name);
    by += "= its attribute " + name + ", ";
    wanted = found == device.attributes.end() ? "which it lacks" : found->second;
  }
  std::string rows;
  for (const auto& id : rows_)
    rows += (rows.empty() ? "" : ", ") + id;
  if (rows_more_ > 0)
    rows += " and " + std::to_string(rows_more_) + " more";
  return "its plugin's telemetry has no row with " + by + wanted
         + "; rows: " + (rows.empty() ? "none" : rows);
}

void device_readings::add(const tool_query& query, const std::vector<answer_row>& rows,
                          duration_us now_us) {
  if (std::exchange(over_, false)) {
    rows_.clear();
    rows_more_ = 0;
  }
  for (const auto& row : rows) {
    const auto uuid = uuid_of(query, row);
    if (rows_.size() < limits::rows_named_max)
      rows_.push_back(text_of(row, "id"));
    else
      ++rows_more_;
    if (uuid.empty())
      continue;
    auto& reading = round_[uuid];
    set_known(reading.memory_used_bytes, whole(row, "memory_used_bytes"));
    set_known(reading.power_mw, whole(row, "power_watts"));
    set_known(reading.energy_mj, whole(row, "energy_joules"));
    const auto busy = row.sources.find("utilization");
    const bool counts = busy != row.sources.end();
    const bool idle = counts && busy->second->idle_time;
    if (idle || (counts && busy->second->busy_time))
      read_counter(uuid, row, idle, now_us, reading);
    else if (const auto share = whole(row, "utilization"))
      reading.utilization_pm = static_cast<std::uint32_t>(std::min(*share, per_mille));
    if (const auto heat = figure_of(row, "temperature_celsius");
        heat && std::abs(*heat) < 1'000'000)
      reading.temperature_mc = static_cast<std::int32_t>(*heat);
    if (read_health(row, reading))
      told_.insert(uuid);
    if (const auto board = text_of(row, "board"); !board.empty())
      if (auto& on = boards_[board]; std::find(on.begin(), on.end(), uuid) == on.end())
        on.push_back(uuid);
  }
}

std::map<std::string, device_reading> device_readings::take() {
  for (const auto& [name, uuids] : boards_) {
    split(round_, uuids, &device_reading::power_mw);
    split(round_, uuids, &device_reading::energy_mj);
  }
  for (auto& [uuid, reading] : round_)
    if (told_.contains(uuid))
      health_[uuid] = {reading.health, reading.health_reason};
    else if (const auto last = health_.find(uuid); last != health_.end())
      std::tie(reading.health, reading.health_reason) = last->second;
  if (left_out_.empty() && !round_.empty())
    named_.clear();
  for (const auto& [uuid, reading] : round_)
    named_.insert(uuid);
  for (const auto& uuid : left_out_.empty() ? std::set<std::string>() : named_)
    if (!round_.contains(uuid)) {
      round_[uuid].health = device_health::degraded;
      round_[uuid].health_reason = "its plugin's telemetry: " + left_out_;
    }
  left_out_.clear();
  if (!round_.empty()) // Of a tool that failed nothing is learned.
    std::erase_if(health_, [this](const auto& one) {
      return !round_.contains(one.first) && !attributes_.contains(one.first);
    });
  boards_.clear();
  health_told_ = !told_.empty();
  told_.clear();
  over_ = true;
  return std::exchange(round_, {});
}

} // namespace consort::node
