// SPDX-License-Identifier: Apache-2.0
#include "node/tool_stream.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

namespace consort::node {

using std::chrono::microseconds;
using std::chrono::steady_clock;

struct tool_stream::state {
  std::mutex guard;
  std::condition_variable changed;
  std::mutex calls; ///< One caller at a time; taken before guard.
  std::string line;
  steady_clock::time_point said_at;
  steady_clock::time_point began_at;
  std::optional<child_exit> ended;
};

namespace {

/// How it ended, with what it said of that: what it printed before are readings.
std::string stream_end_words(const child_exit& end) {
  return describe_exit(end) + (end.err.tail.empty() ? "" : ": " + end.err.tail);
}

} // namespace

tool_stream::tool_stream(boost::asio::io_context& io, child_spec spec, duration_us silence_us)
    : io_(io), spec_(std::move(spec)), silence_us_(silence_us), state_(std::make_shared<state>()) {
  spec_.timeout_us = 0;
  spec_.output_bytes_max = 0; // Lines are looked at as they come.
  spec_.line_bytes_max = limits::stream_line_bytes_max;
}

tool_stream::~tool_stream() = default;

result<done> tool_stream::run() {
  {
    const std::lock_guard lock(state_->guard);
    if (child_ && !state_->ended)
      return done{};
    const auto now = steady_clock::now();
    if (state_->ended && now - state_->began_at < microseconds(limits::stream_restart_us))
      return error{recovery::retry_later, "tool_failed",
                   spec_.argv.front() + " " + stream_end_words(*state_->ended)};
    state_->ended.reset();
    state_->line.clear();
    state_->began_at = state_->said_at = now;
  }
  auto started = child_process::start(
      io_, spec_,
      [into = state_](std::string_view line, bool from_stderr) {
        if (from_stderr)
          return;
        const std::lock_guard lock(into->guard);
        into->line = line;
        into->said_at = steady_clock::now();
        into->changed.notify_all();
      },
      [into = state_](child_exit end) {
        const std::lock_guard lock(into->guard);
        into->ended = std::move(end);
        into->changed.notify_all();
      });
  if (!started)
    return started.failure();
  child_ = *std::move(started);
  return done{};
}

result<std::string> tool_stream::latest(duration_us patience_us) {
  const std::scoped_lock one_at_a_time(state_->calls);
  if (auto runs = run(); !runs)
    return runs.failure();
  std::unique_lock lock(state_->guard);
  state_->changed.wait_for(lock, microseconds(patience_us),
                           [this] { return !state_->line.empty() || state_->ended; });
  if (state_->ended)
    return error{recovery::retry_later, "tool_failed",
                 spec_.argv.front() + " " + stream_end_words(*state_->ended)};
  const error mute{recovery::retry_later, "tool_failed", spec_.argv.front() + " prints nothing"};
  if (steady_clock::now() - state_->said_at > microseconds(silence_us_)) {
    lock.unlock();  // Its handlers want it.
    child_.reset(); // It hangs, and will not mend itself; the next question starts another.
    return mute;
  }
  return state_->line.empty() ? result<std::string>(mute) : state_->line;
}

} // namespace consort::node
