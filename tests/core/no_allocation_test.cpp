// SPDX-License-Identifier: Apache-2.0
// The steady-state decision path allocates nothing: an attempt ends, somebody who waits is decided
// on and explained. Counted is every operator new of the step, less what its commands hold (their
// texts are the caller's to keep): those are counted by copying them.
#include "tests/support/loaded_cluster.hpp"

#include <cstdlib>
#include <new>

namespace {
std::size_t allocations = 0;
} // namespace

// Replaced for this whole program.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* made = std::malloc(size == 0 ? 1 : size))
    return made;
  throw std::bad_alloc();
}
void operator delete(void* what) noexcept {
  std::free(what);
}
void operator delete(void* what, std::size_t) noexcept {
  std::free(what);
}

namespace consort::core::testing {

namespace {

class DecisionPath : public ::testing::TestWithParam<std::string> {};

TEST_P(DecisionPath, AllocatesNothingOnceItIsWarm) {
  loaded_cluster t(alike(12));
  auto& core = t.tested();
  std::vector<command> out;
  out.reserve(64);
  std::deque<attempt_id> running;
  auto now = t.now();
  std::uint64_t sequence = 1'000;
  const auto collect = [&] {
    for (const auto& one : out)
      if (const auto* granted = std::get_if<grant_ticket>(&one))
        running.push_back(granted->granted.attempt);
  };
  std::size_t counted = 0, decided = 0, live = 0;
  for (int round = 0; round < 4'000; ++round) {
    // The queue holds a node for each that waits: that is admission's, not the decision's.
    request_meta meta = t.by(GetParam());
    meta.id = {gateway_id{7}, ++sequence};
    meta.prefix_blocks = {1 + sequence % 5, 100 + sequence % 50};
    out.clear();
    core.step(request_submitted{meta}, ++now, out);
    collect();
    if (++live < 70) // More than run at once: some wait.
      continue;
    --live;
    attempt_measurement measured;
    measured.usage = {100, 50, 0};
    measured.first_token_us = 20'000;
    measured.total_us = 70'000;
    measured.batch = 4;
    const event ended = attempt_finished{running.front(), measured};
    running.pop_front();
    out.clear();
    const auto before = allocations;
    core.step(ended, ++now, out);
    const auto during = allocations - before;
    const auto copying = allocations;
    const auto copy = out;
    const auto texts = allocations - copying - (copy.empty() ? 0 : 1); // Less the list itself.
    const auto granted = running.size();
    collect();
    if (round > 2'000) {
      counted += during - std::min(during, texts);
      decided += running.size() - granted;
    }
    if (round % 500 == 0)
      core.step(lease_renewed{node_id{"local"}, t.life_of("local")}, ++now, out);
  }
  EXPECT_GT(decided, 1'000U);
  EXPECT_EQ(counted, 0U) << "of " << decided << " decisions";
}

INSTANTIATE_TEST_SUITE_P(Policies, DecisionPath,
                         ::testing::Values("latency", "throughput", "energy", "cost", "hybrid",
                                           "random", "round-robin", "least-loaded", "power-of-two",
                                           "prefix-only"));

} // namespace

} // namespace consort::core::testing
