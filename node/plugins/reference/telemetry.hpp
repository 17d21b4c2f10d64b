// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps one session's reading up to date for refnpu-smi, from a thread of its own. Borrows the
/// engine, which must outlive it. Destroying it removes the reading.

#include "node/plugins/llama/engine.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace consort::reference {

class telemetry {
public:
  telemetry(std::uint32_t device, const llama::session& engine);
  ~telemetry();
  telemetry(const telemetry&) = delete;
  telemetry& operator=(const telemetry&) = delete;

private:
  void run();
  [[nodiscard]] double utilization();

  const std::uint32_t device_;
  const std::uint64_t session_; ///< Tells sessions of this process apart.
  const llama::session& engine_;
  std::uint64_t steps_seen_ = 0;
  std::uint32_t busy_samples_ = 0; ///< One bit per sample, the latest lowest.
  std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::thread thread_;
};

} // namespace consort::reference
