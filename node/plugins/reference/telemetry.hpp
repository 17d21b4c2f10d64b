// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps one device's reading up to date for refnpu-smi, from a thread of its own. Borrows what the
/// engine on it tells, which must outlive it. Destroying it removes the reading.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace consort::reference {

/// What an engine tells of itself at a moment.
struct engine_load {
  std::uint64_t memory_bytes = 0;
  std::uint64_t steps_total = 0;
  bool busy = false; ///< Sequences are running.
};

class telemetry {
public:
  telemetry(std::uint32_t device, std::function<engine_load()> engine);
  ~telemetry();
  telemetry(const telemetry&) = delete;
  telemetry& operator=(const telemetry&) = delete;

private:
  void run();
  [[nodiscard]] double utilization(const engine_load& now);

  const std::uint32_t device_;
  const std::uint64_t session_; ///< Tells sessions of this process apart.
  const std::function<engine_load()> engine_;
  std::uint64_t steps_seen_ = 0;
  std::uint32_t busy_samples_ = 0; ///< One bit per sample, the latest lowest.
  std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::thread thread_;
};

} // namespace consort::reference
