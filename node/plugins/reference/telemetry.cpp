// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/telemetry.hpp"

#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/limits.hpp"

#include <atomic>
#include <bit>
#include <unistd.h>
#include <utility>

namespace consort::reference {
namespace {

std::uint64_t next_session() {
  static std::atomic<std::uint64_t> next = 0;
  return next++;
}

} // namespace

telemetry::telemetry(std::uint32_t device, std::function<engine_load()> engine)
    : device_(device),
      session_(next_session()),
      engine_(std::move(engine)),
      thread_([this] { run(); }) {}

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
    const auto now = engine_();
    write_reading({device_, getpid(), now.memory_bytes, utilization(now), unix_ms()}, session_);
  } while (!wake_.wait_for(lock, std::chrono::milliseconds(limits::telemetry_every_ms),
                           [&] { return closing_; }));
}

/// Share of the last four samples in which the engine computed.
double telemetry::utilization(const engine_load& now) {
  constexpr std::uint32_t window = 0xF;
  const bool busy = now.steps_total != steps_seen_ || now.busy;
  steps_seen_ = now.steps_total;
  busy_samples_ = (busy_samples_ << 1U | (busy ? 1U : 0U)) & window;
  return std::popcount(busy_samples_) / 4.0;
}

} // namespace consort::reference
