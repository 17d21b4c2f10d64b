// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/telemetry.hpp"

#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/limits.hpp"

#include <atomic>
#include <bit>
#include <unistd.h>

namespace consort::reference {
namespace {

std::uint64_t next_session() {
  static std::atomic<std::uint64_t> next = 0;
  return next++;
}

} // namespace

telemetry::telemetry(std::uint32_t device, const llama::session& engine)
    : device_(device), session_(next_session()), engine_(engine), thread_([this] { run(); }) {}

telemetry::~telemetry() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  thread_.join();
  remove_reading(device_, session_);
}

void telemetry::run() {
  std::unique_lock lock(mutex_);
  do {
    write_reading(
        {device_, getpid(), engine_.model_bytes() + engine_.kv_bytes(), utilization(), unix_ms()},
        session_);
  } while (!wake_.wait_for(lock, std::chrono::milliseconds(limits::telemetry_every_ms),
                           [&] { return closing_; }));
}

/// Share of the last four samples in which the engine computed.
double telemetry::utilization() {
  constexpr std::uint32_t window = 0xF;
  const std::uint64_t steps = engine_.counters().steps_total;
  const bool busy = steps != steps_seen_ || engine_.counters().sequences_running > 0;
  steps_seen_ = steps;
  busy_samples_ = (busy_samples_ << 1U | (busy ? 1U : 0U)) & window;
  return std::popcount(busy_samples_) / 4.0;
}

} // namespace consort::reference
