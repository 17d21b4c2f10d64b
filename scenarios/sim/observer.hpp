// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who watches a run: the recorder, which makes the summary, and the checkers, which look for what
/// must never happen. Observers see everything and change nothing. Called in order of virtual time.

#include "scheduler/command.hpp"
#include "scheduler/event.hpp"
#include "scheduler/view.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace consort::sim {

struct device_model;

/// A node's own idea of itself when it honours a ticket, and how full the endpoint then is.
struct ticket_reception {
  incarnation life;
  epoch lease_epoch;
  std::uint32_t sequences_running = 0; ///< With this one, if it runs at once.
  std::uint32_t sequences_max = 0;
  std::uint64_t kv_tokens_used = 0;
  std::uint64_t kv_tokens_max = 0;
  time_us now = 0;         ///< As the node believes.
  time_us lease_until = 0; ///< As it was told.
};

/// How a client's request ended.
struct client_answer {
  request_id request;
  request_outcome outcome = request_outcome::finished;
  std::string code;
  std::vector<std::int32_t> token_ids; ///< As the client saw them, in order.
  std::uint32_t tokens_due = 0;        ///< Of an undisturbed run.
};

class observer {
public:
  virtual ~observer() = default;
  /// A client asked.
  virtual void on_submitted(const request_meta&, time_us) {}
  /// The core is about to be told.
  virtual void on_event(const core::event&, time_us) {}
  /// The core commanded.
  virtual void on_command(const core::command&, time_us) {}
  /// A node began an attempt.
  virtual void on_ticket_honoured(const ticket&, const ticket_reception&, time_us) {}
  /// A client got one or more tokens at once.
  virtual void on_tokens(const request_id&, const device_id&, std::uint32_t, time_us) {}
  /// Where engines gather tokens: so many came after that gap, each behind one of its stream.
  virtual void on_gaps(duration_us, std::uint64_t) {}
  /// On a measured device, the most sequences and the most tokens of prompts in one step so far, of
  /// one of its engines.
  virtual void on_widest(const device_model&, std::uint32_t, std::uint32_t) {}
  /// An attempt left its engine, however it ended: what its node tells of its energy, millijoules.
  virtual void on_drawn(const attempt_id&, std::optional<std::uint64_t>, time_us) {}
  /// A client got its end.
  virtual void on_answered(const client_answer&, time_us) {}
  /// The scheduler died, and its books with it.
  virtual void on_scheduler_lost(time_us) {}
  /// Its successor was told by the gateway: what ended between the two is in nobody's books.
  virtual void on_scheduler_replaced(time_us) {}
  /// A fault strikes or heals, by its word in scenario files; heals may be told more than once.
  virtual void on_fault(std::string_view, const std::string&, bool, time_us) {}
  /// The liveness phase is over.
  virtual void on_end(const core::snapshot&, time_us) {}
};

/// An observer with a verdict.
class checker : public observer {
public:
  /// What was violated first, in words; nothing while all is well.
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

protected:
  void violate(const std::string& what, time_us now);

private:
  std::optional<std::string> violation_;
};

/// Tells several observers the same. Owned by a run; observers outlive it.
class observer_list {
public:
  void add(observer& watcher) { watchers_.push_back(&watcher); }

  template <class Call>
  void each(const Call& call) const {
    for (auto* watcher : watchers_)
      call(*watcher);
  }

private:
  std::vector<observer*> watchers_;
};

} // namespace consort::sim
