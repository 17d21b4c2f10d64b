// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Carries what the scheduler and the nodes say about one request, on their threads, into the
/// mailbox of the coroutine that serves it.

#include "gateway/mailbox.hpp"
#include "gateway/scheduler_port.hpp"
#include "messages/attempt_service.hpp"

namespace consort::gateway {

/// An event of one attempt and when it came.
struct attempt_frame {
  attempt_id attempt;
  steady_time at;
  attempt_event happened;
};
/// Wakes the coroutine to look at its own state.
struct nudge {};

using serve_event = std::variant<core::grant_ticket, core::drop_attempt, core::queue_notice,
                                 core::reject_request, attempt_frame, nudge>;
using serve_box = mailbox<serve_event>;

/// What the scheduler says. Outlives the request harmlessly: a closed mailbox takes nothing.
class bridge_listener final : public request_listener {
public:
  explicit bridge_listener(std::shared_ptr<serve_box> box) : box_(std::move(box)) {}
  void on_ticket(const core::grant_ticket& granted) override { box_->push(granted); }
  void on_drop(const core::drop_attempt& dropped) override { box_->push(dropped); }
  void on_queue(const core::queue_notice& notice) override { box_->push(notice); }
  void on_reject(const core::reject_request& rejected) override { box_->push(rejected); }

private:
  std::shared_ptr<serve_box> box_;
};

/// What one attempt says. Tokens claim their bytes, so that a reader too slow for its stream is
/// noticed; everything else always fits, so that an end is never lost.
class bridge_sink final : public attempt_sink {
public:
  bridge_sink(std::shared_ptr<serve_box> box, const attempt_id& attempt)
      : box_(std::move(box)), attempt_(attempt) {}
  void on_event(attempt_event happened) override {
    const auto* tokens = std::get_if<attempt_tokens>(&happened);
    const auto bytes
        = tokens == nullptr ? 0 : sizeof *tokens + tokens->text.size() + tokens->extra_json.size();
    box_->push(attempt_frame{attempt_, std::chrono::steady_clock::now(), std::move(happened)},
               bytes);
  }

private:
  std::shared_ptr<serve_box> box_;
  attempt_id attempt_;
};

} // namespace consort::gateway
