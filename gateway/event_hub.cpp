// SPDX-License-Identifier: Apache-2.0
#include "gateway/event_hub.hpp"

#include "gateway/admin_json.hpp"

#include <algorithm>

namespace consort::gateway {

std::string render_event(const core::command& happened) {
  const auto frame = [](std::string_view name, const json& data) {
    return "event: " + std::string(name)
           + "\ndata: " + data.dump(-1, ' ', false, json::error_handler_t::replace) + "\n\n";
  };
  if (const auto* record = std::get_if<core::record_request>(&happened))
    return frame("request", to_json(*record));
  if (const auto* said = std::get_if<core::note>(&happened))
    return frame("note", to_json(*said));
  return {};
}

bool event_hub::add(const std::shared_ptr<event_box>& box) {
  const std::lock_guard lock(mutex_);
  if (boxes_.size() >= streams_max_)
    return false;
  boxes_.push_back(box);
  return true;
}

void event_hub::remove(const std::shared_ptr<event_box>& box) {
  const std::lock_guard lock(mutex_);
  std::erase(boxes_, box);
}

void event_hub::publish(const core::command& happened) {
  std::vector<std::shared_ptr<event_box>> boxes;
  {
    const std::lock_guard lock(mutex_);
    boxes = boxes_;
  }
  if (boxes.empty())
    return;
  auto text = render_event(happened);
  if (text.empty())
    return;
  const auto shared = std::make_shared<const std::string>(std::move(text));
  // Each event claims one "byte" of a box that holds event_backlog_max of them.
  for (const auto& box : boxes)
    box->push(shared, 1);
}

} // namespace consort::gateway
