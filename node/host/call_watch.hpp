// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long a call into the vendor's object has not returned that the C ABI documents as quick:
/// `cancel`, and `stats` as long as no request runs, since a runtime may keep its counters until a
/// step is over. Knows nothing of calls that may take long. Reads no clock and starts nothing: who
/// looks now and then brings the time. Thread-safe.
///
/// Only time in which somebody looks counts, so that a process that was stopped, or got no CPU, is
/// not blamed for it.

#include "scheduler/ids.hpp"

#include <cstdint>
#include <mutex>

namespace consort::node {

class call_watch {
public:
  /// Which time counts.
  enum class counts : std::uint8_t {
    always,
    idle ///< Only while no request runs; one that runs has the count begin anew.
  };

  /// `limit` is what a call may take, in us; positive.
  explicit call_watch(duration_us limit) : limit_(limit) {}

  /// A call begins. Requires: `name` lives as long as this; the call before has ended.
  void begin(const char* name, counts which, time_us now);
  /// It returned.
  void end();
  /// A request is about to be given to the runtime, or is over.
  void request_taken();
  void request_over();

  /// To be called more often than every half of the limit. `blameless`: what the call may wait for
  /// is not the vendor's, and the count begins anew. Returns: the name of the call that has not
  /// returned for the limit, or null.
  [[nodiscard]] const char* look(time_us now, bool blameless);

private:
  const duration_us limit_;
  std::mutex mutex_;
  const char* call_ = nullptr; ///< Null = none that is watched.
  counts which_ = counts::always;
  duration_us waited_ = 0; ///< For it, as far as it counts.
  time_us looked_at_ = 0;
  std::uint64_t running_ = 0; ///< Requests.
};

} // namespace consort::node
