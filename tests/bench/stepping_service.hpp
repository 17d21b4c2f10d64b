// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An engine without arithmetic behind the real data port: every ticket is good, and every attempt
/// gets one token per step of a clock. Runs on the clock's thread.

#include "messages/attempt_service.hpp"
#include "tests/bench/sse_load.hpp"

#include <boost/asio/post.hpp>

#include <atomic>

namespace consort::bench {

class stepping_service final : public attempt_service {
public:
  stepping_service(boost::asio::io_context& io, step_clock& clock, unsigned tokens)
      : io_(io), clock_(clock), tokens_(tokens) {}

  std::unique_ptr<attempt_stream> open(const ticket&, attempt_body,
                                       std::shared_ptr<attempt_sink> sink) override {
    auto run = std::make_shared<attempt>();
    run->sink = std::move(sink);
    boost::asio::post(io_, [this, run] {
      run->sink->on_event(attempt_opened{8, 0});
      clock_.subscribe([this, run] { return step(*run); });
    });
    return std::make_unique<stream>(run);
  }

private:
  struct attempt {
    std::shared_ptr<attempt_sink> sink;
    unsigned sent = 0;
    std::atomic<bool> cancelled{false};
  };
  class stream final : public attempt_stream {
  public:
    explicit stream(std::shared_ptr<attempt> run) : run_(std::move(run)) {}
    ~stream() override { cancel(); }
    void cancel() override { run_->cancelled = true; }

  private:
    std::shared_ptr<attempt> run_;
  };

  [[nodiscard]] bool step(attempt& run) const {
    if (run.cancelled)
      return false;
    if (run.sent++ < tokens_) {
      run.sink->on_event(attempt_tokens{0, " token", {static_cast<std::int32_t>(run.sent)}, ""});
      return true;
    }
    run.sink->on_event(attempt_choice_done{0, "length"});
    run.sink->on_event(attempt_completed{{8, tokens_, 0}, 1, 0});
    return false;
  }

  boost::asio::io_context& io_;
  step_clock& clock_;
  unsigned tokens_;
};

} // namespace consort::bench
