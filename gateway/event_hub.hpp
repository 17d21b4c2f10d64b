// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Spreads the scheduler's records and notes to the open event streams. Bounded: at most
/// `streams_max` subscribers, each holding at most limits::event_backlog_max events; what a slow
/// one misses is gone, and its stream says once that something is. Thread-safe.

#include "gateway/mailbox.hpp"
#include "scheduler/command.hpp"

namespace consort::gateway {

/// One event as text/event-stream text.
using event_text = std::shared_ptr<const std::string>;
using event_box = mailbox<event_text>;

class event_hub {
public:
  explicit event_hub(std::size_t streams_max) : streams_max_(streams_max) {}

  /// Returns: false when there are too many already.
  bool add(const std::shared_ptr<event_box>& box);
  void remove(const std::shared_ptr<event_box>& box);
  /// Renders and spreads one; commands that are neither records nor notes are ignored.
  void publish(const core::command& happened);

private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<event_box>> boxes_;
  const std::size_t streams_max_;
};

/// `event: note` or `event: request` with one line of data; empty for other commands. Pure.
[[nodiscard]] std::string render_event(const core::command& happened);

} // namespace consort::gateway
