// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A tool that does not end: it prints one answer per line for as long as it runs, and starting it
/// anew for each would cost more than it tells. Keeps it running and its latest line; starts it
/// again when it ended, not more often than limits::stream_restart_us, and kills it for that when
/// it says nothing for limits::stream_silence_us_max. Thread-safe. Destroying it ends the tool.

#include "node/child_process.hpp"
#include "node/limits.hpp"

namespace consort::node {

class tool_stream {
public:
  /// `io` runs its handlers and outlives it. Limits of time in `spec` do not count. Requires: a
  /// `silence_us` of at least limits::stream_restart_us, or a test.
  tool_stream(boost::asio::io_context& io, child_spec spec,
              duration_us silence_us = limits::stream_silence_us_max);
  ~tool_stream();
  tool_stream(const tool_stream&) = delete;
  tool_stream& operator=(const tool_stream&) = delete;

  /// The latest line; waits for the first one at most `patience_us`. Errors: `tool_missing`,
  /// `tool_failed` when it ended, printed nothing, or nothing for too long.
  [[nodiscard]] result<std::string> latest(duration_us patience_us);

private:
  struct state;
  result<done> run();

  boost::asio::io_context& io_;
  child_spec spec_;
  const duration_us silence_us_;
  std::shared_ptr<state> state_;
  std::unique_ptr<child_process> child_;
};

} // namespace consort::node
