// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Spreads the scheduler's records and notes to the open event streams, and keeps the last
/// limits::events_kept_max of them for who asks later. Bounded: at most `streams_max` subscribers,
/// each holding at most limits::event_backlog_max events; what a slow one misses is gone, and its
/// stream says once that something is. Thread-safe.

#include "gateway/mailbox.hpp"
#include "scheduler/command.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <variant>

namespace consort::gateway {

/// One event as text/event-stream text.
using event_text = std::shared_ptr<const std::string>;
using event_box = mailbox<event_text>;

/// Something that happened, numbered from 1 in the order in which the hub heard of it.
struct told_event {
  std::variant<core::record_request, core::note> what;
  std::uint64_t number = 0;
  std::int64_t unix_ms = 0;
};

/// What a reader wants of the past.
struct event_query {
  std::size_t last = 0; ///< At most so many.
  bool follow = true;   ///< And all that comes.
  std::string after;    ///< Those behind the event of that id, however many, if it is known.
};

/// Of `last=N&follow=true|false`, and of the header Last-Event-ID (empty: none). Returns: as
/// message what is wrong with which parameter.
[[nodiscard]] result<event_query> parse_event_query(std::string_view query,
                                                    std::string_view last_event_id);

class event_hub {
public:
  /// Ids of events begin with `epoch`, so that those of an earlier process are not taken for ours.
  event_hub(std::size_t streams_max, std::int64_t epoch)
      : streams_max_(streams_max), epoch_(std::to_string(epoch) + "-") {}

  /// Returns: what was asked for of the past, oldest first; nothing when there are too many
  /// streams already. With `follow` all that comes is pushed to the box, without a gap.
  [[nodiscard]] std::optional<std::vector<told_event>> add(const std::shared_ptr<event_box>& box,
                                                           const event_query& wanted);
  void remove(const std::shared_ptr<event_box>& box);
  /// Keeps and spreads one; commands that are neither records nor notes are ignored.
  void publish(const core::command& happened);
  /// `id`, `event: note` or `event: request`, and one line of data, which has the id and the time
  /// as well.
  [[nodiscard]] std::string render(const told_event& told) const;

private:
  [[nodiscard]] std::vector<told_event> past(const event_query& wanted) const;

  std::mutex mutex_;
  std::vector<std::shared_ptr<event_box>> boxes_;
  std::deque<told_event> kept_;
  std::uint64_t told_ = 0;
  const std::size_t streams_max_;
  const std::string epoch_;
};

/// A note of a stream itself: no id, since it did not happen in the cluster. Pure.
[[nodiscard]] std::string render_aside(const core::note& said);

} // namespace consort::gateway
