// SPDX-License-Identifier: Apache-2.0
#include "gateway/event_hub.hpp"

#include "gateway/admin_json.hpp"
#include "gateway/http.hpp"
#include "gateway/limits.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

std::string frame(std::string_view name, const json& data) {
  return "event: " + std::string(name)
         + "\ndata: " + data.dump(-1, ' ', false, json::error_handler_t::replace) + "\n\n";
}

error bad_query(const std::string& message) {
  return {recovery::refuse, "bad_query", message};
}

std::optional<error> apply(std::string_view name, std::string_view value, event_query& to) {
  if (name == "last") {
    const auto count = decimal<std::size_t>(value);
    if (!count || *count > limits::events_kept_max)
      return bad_query("`last` is a number of events, at most "
                       + std::to_string(limits::events_kept_max));
    to.last = *count;
    return std::nullopt;
  }
  if (name != "follow")
    return bad_query("of events one may ask `last` and `follow`, nothing else");
  if (value != "true" && value != "false")
    return bad_query("`follow` is `true` or `false`");
  to.follow = value == "true";
  return std::nullopt;
}

std::int64_t unix_ms_now() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

} // namespace

result<event_query> parse_event_query(std::string_view query, std::string_view last_event_id) {
  event_query out;
  out.after = last_event_id;
  const auto pairs = split_query(query);
  if (!pairs)
    return bad_query("the query is not percent-encoded as it should be");
  for (const auto& [name, value] : *pairs)
    if (auto failure = apply(name, value, out))
      return *std::move(failure);
  return out;
}

std::string render_aside(const core::note& said) {
  return frame("note", to_json(said));
}

std::string event_hub::render(const told_event& told) const {
  const auto* const record = std::get_if<core::record_request>(&told.what);
  auto data = record != nullptr ? to_json(*record) : to_json(std::get<core::note>(told.what));
  const auto id = epoch_ + std::to_string(told.number);
  data["id"] = id;
  data["unix_ms"] = told.unix_ms;
  return "id: " + id + "\n" + frame(record != nullptr ? "request" : "note", data);
}

/// Under the mutex. An id of another epoch, or of what is kept no more, is as good as none.
std::vector<told_event> event_hub::past(const event_query& wanted) const {
  auto from = kept_.end() - static_cast<std::ptrdiff_t>(std::min(wanted.last, kept_.size()));
  if (wanted.after.starts_with(epoch_)) {
    const auto after = decimal<std::uint64_t>(std::string_view(wanted.after).substr(epoch_.size()));
    if (after)
      from = std::find_if(kept_.begin(), kept_.end(),
                          [&](const told_event& one) { return one.number > *after; });
  }
  return {from, kept_.end()};
}

std::optional<std::vector<told_event>> event_hub::add(const std::shared_ptr<event_box>& box,
                                                      const event_query& wanted) {
  const std::lock_guard lock(mutex_);
  if (wanted.follow && boxes_.size() >= streams_max_)
    return std::nullopt;
  if (wanted.follow)
    boxes_.push_back(box);
  return past(wanted);
}

void event_hub::remove(const std::shared_ptr<event_box>& box) {
  const std::lock_guard lock(mutex_);
  std::erase(boxes_, box);
}

void event_hub::publish(const core::command& happened) {
  told_event told;
  if (const auto* record = std::get_if<core::record_request>(&happened))
    told.what = *record;
  else if (const auto* said = std::get_if<core::note>(&happened))
    told.what = *said;
  else
    return;
  told.unix_ms = unix_ms_now();
  std::vector<std::shared_ptr<event_box>> boxes;
  {
    const std::lock_guard lock(mutex_);
    told.number = ++told_;
    boxes = boxes_;
    kept_.push_back(told);
    if (kept_.size() > limits::events_kept_max)
      kept_.pop_front();
  }
  if (boxes.empty())
    return;
  const auto shared = std::make_shared<const std::string>(render(told));
  // Each event claims one "byte" of a box that holds event_backlog_max of them.
  for (const auto& box : boxes)
    box->push(shared, 1);
}

} // namespace consort::gateway
