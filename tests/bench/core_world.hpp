// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A core with many devices, fed as fast as it goes: what the benchmarks of the core measure. One
/// model is ready on the first `replicas` devices, which differ in speed by chance, or by kind;
/// requests come and go. Virtual time moves by a microsecond an event. Not a test: it checks
/// nothing.

#include "scheduler/core.hpp"
#include "scheduler/prng.hpp"

#include <deque>

namespace consort::core {

struct world_shape {
  std::uint64_t devices = 1'000;
  std::uint64_t replicas = 0; ///< 0 = on every device.
  std::string policy = "latency";
  std::uint64_t prefix_blocks = 0; ///< Of every prompt, half of them shared with others.
  std::uint32_t queue_max = limits::queue_max;
  std::uint64_t kinds = 0; ///< Of devices, all of one kind alike; 0 = each is of its own.
  bool explains = true;    ///< Decisions are kept to be explained.
};

class core_world {
public:
  explicit core_world(const world_shape& shape);

  /// Submits one request. Returns: whether its ticket came at once.
  bool submit();
  /// The oldest running attempt ends; somebody who waits may start.
  void finish_one();
  /// Once in a while, so that leases last.
  void keep_alive();

  [[nodiscard]] std::uint64_t decisions() const { return core_.view(now_).counters.decisions; }
  [[nodiscard]] std::uint64_t state_digest() const { return core_.digest(); }
  [[nodiscard]] std::size_t running() const { return running_.size(); }
  [[nodiscard]] std::uint64_t devices() const { return shape_.devices; }

private:
  void feed(const event& happened);
  void start_granted();
  void add_device(std::uint64_t number);
  void add_replica(std::uint64_t number);

  world_shape shape_;
  core core_;
  prng chance_{42};
  time_us now_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<node_id> nodes_;
  std::vector<command> out_;
  std::vector<attempt_id> granted_;
  std::deque<attempt_id> running_;
};

} // namespace consort::core
