// SPDX-License-Identifier: Apache-2.0
#include "node/device_numbers.hpp"

#include "node/small_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace consort::node {

namespace {

constexpr int numbers_format = 1;

bool all_digits(std::string_view text) {
  return !text.empty()
         && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// `npu12`, `npu12.3`: a stem and its number.
bool numbered(std::string_view name, std::string_view stem) {
  return name.starts_with(stem) && all_digits(name.substr(stem.size()));
}

/// What stands before a name's number; empty when it is no name of a device.
std::string_view stem_of(std::string_view name) {
  const auto end = name.find_last_not_of("0123456789");
  if (end == std::string_view::npos || end + 1 == name.size())
    return {};
  return name.substr(0, end + 1);
}

} // namespace

device_numbers::device_numbers(std::string path, std::size_t max)
    : path_(std::move(path)), max_(max) {
  if (!path_.empty())
    load();
}

void device_numbers::load() {
  std::ifstream file(path_, std::ios::binary);
  if (!file && errno == ENOENT)
    return;
  std::string text(limits::device_numbers_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() <= limits::device_numbers_bytes_max && take(text)) {
    written_ = std::move(text);
    return;
  }
  all_.clear();
  names_.clear();
  problem_ = error{recovery::refuse, "device_numbers",
                   path_
                       + ": is not what an agent wrote there, and is begun anew: devices may have "
                         "other numbers than before (see consort devices -o wide)"};
}

/// Returns: false when any of it is not as text() writes it.
bool device_numbers::take(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object() || root.value("format", nlohmann::json()) != numbers_format
      || !root.contains("devices") || !root["devices"].is_array() || root["devices"].size() > max_)
    return false;
  std::set<std::pair<std::string, std::string>> pairs;
  for (const auto& one : root["devices"]) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string() || !one[1].is_string())
      return false;
    known read{one[0].get<std::string>(), one[1].get<std::string>()};
    const std::string stem(stem_of(read.name));
    if (read.identity.empty() || stem.empty() || !names_.insert(read.name).second
        || !pairs.emplace(read.identity, stem).second)
      return false;
    all_.push_back(std::move(read));
  }
  return true;
}

std::string device_numbers::text() const {
  auto devices = nlohmann::json::array();
  // Of more devices than are remembered the last are: they are here.
  const auto skipped = all_.size() - std::min(all_.size(), max_);
  for (auto one = all_.begin() + static_cast<std::ptrdiff_t>(skipped); one != all_.end(); ++one)
    devices.push_back({one->identity, one->name});
  return nlohmann::json{{"format", numbers_format}, {"devices", std::move(devices)}}.dump(
             1, ' ', false, nlohmann::json::error_handler_t::replace)
         + "\n";
}

void device_numbers::begin() {
  for (auto& one : all_)
    one.here = false;
}

std::string device_numbers::name_of(const std::string& identity, const std::string& stem) {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const known& one) {
    return one.identity == identity && numbered(one.name, stem);
  });
  if (found != all_.end()) {
    found->here = true;
    return found->name;
  }
  std::uint32_t number = 0;
  while (names_.contains(stem + std::to_string(number)))
    ++number;
  const auto name = stem + std::to_string(number);
  names_.insert(name);
  all_.push_back({identity, name, true});
  return name;
}

std::optional<error> device_numbers::settle() {
  // Who is here moves behind who is away: so the next to leave is the last of those.
  const auto here
      = std::stable_partition(all_.begin(), all_.end(), [](const known& one) { return !one.here; });
  const auto surplus = static_cast<std::ptrdiff_t>(all_.size() - std::min(all_.size(), max_));
  const auto kept = std::min(all_.begin() + surplus, here);
  for (auto one = all_.begin(); one != kept; ++one)
    names_.erase(one->name);
  all_.erase(all_.begin(), kept);
  if (!path_.empty())
    if (auto now = text(); now != written_) {
      if (replace_file(path_, now))
        written_ = std::move(now);
      else if (!problem_)
        problem_ = error{recovery::retry_later, "device_numbers",
                         path_ + ": cannot be written (" + std::strerror(errno)
                             + "): devices may have other numbers after a restart"};
    }
  return std::exchange(problem_, std::nullopt);
}

} // namespace consort::node
