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

// Replaced for this whole program. Never inlined: a compiler that sees one of the two without the
// other takes them for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* made = std::malloc(size == 0 ? 1 : size))
    return made;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* what) noexcept {
  std::free(what);
}
[[gnu::noinline]] void operator delete(void* what, std::size_t) noexcept {
  std::free(what);
}

namespace consort::core::testing {

namespace {

struct running_attempt {
  attempt_id id;
  bool slow = false; ///< Ten times what the fast device takes.
};

/// Tickets among the commands.
void collect(const std::vector<command>& out, std::deque<running_attempt>& running) {
  for (const auto& one : out)
    if (const auto* granted = std::get_if<grant_ticket>(&one))
      running.push_back({granted->granted.attempt, granted->granted.device != fast_spec().id});
}

event end_of(const running_attempt& one) {
  attempt_measurement measured;
  measured.usage = {100, 50, 0};
  measured.first_token_us = one.slow ? 200'000 : 20'000;
  measured.total_us = one.slow ? 700'000 : 70'000;
  measured.batch = 4;
  return attempt_finished{one.id, measured};
}

/// What the step allocated beyond what its commands hold.
std::size_t allocated_by(core& tested, const event& happened, time_us now,
                         std::vector<command>& out) {
  out.clear();
  const auto before = allocations;
  tested.step(happened, now, out);
  const auto during = allocations - before;
  const auto copying = allocations;
  const auto copy = out;
  const auto texts = allocations - copying - (copy.empty() ? 0 : 1); // Less the list itself.
  return during - std::min(during, texts);
}

class DecisionPath : public ::testing::TestWithParam<std::string> {
protected:
  /// As many requests are kept there as `kept`, more than run at once: some wait. `name` says of
  /// which session each is, and how its prompt goes on.
  static void run(
      const std::vector<device_spec>& devices, const core_config& config, std::size_t kept,
      void (*name)(request_meta&) = [](request_meta&) {}) {
    loaded_cluster t(devices, config);
    std::vector<command> out;
    out.reserve(64);
    std::deque<running_attempt> running;
    auto now = t.now();
    std::uint64_t sequence = 1'000;
    std::size_t counted = 0, decided = 0, live = 0;
    for (int round = 0; round < 4'000; ++round) {
      // The queue holds a node for each that waits: that is admission's, not the decision's.
      request_meta meta = t.by(GetParam());
      meta.id = {gateway_id{7}, ++sequence};
      meta.prefix_blocks = {1 + sequence % 5, 100 + sequence % 50};
      name(meta);
      out.clear();
      t.tested().step(request_submitted{meta}, now += 100, out);
      collect(out, running);
      if (++live < kept)
        continue;
      --live;
      const auto ended = end_of(running.front());
      running.pop_front();
      const auto spent = allocated_by(t.tested(), ended, now += 100, out);
      const auto before = running.size();
      collect(out, running);
      if (round > 2'000) {
        counted += spent;
        decided += running.size() - before;
      }
      if (round % 500 == 0)
        t.tested().step(lease_renewed{node_id{"local"}, t.life_of("local")}, ++now, out);
    }
    EXPECT_GT(decided, 1'000U);
    EXPECT_EQ(counted, 0U) << "of " << decided << " decisions";
  }
};

TEST_P(DecisionPath, AllocatesNothingOnceItIsWarm) {
  run(alike(12), core_fixture::quiet(), 70);
}

/// Some wait for the fast device, others are sent to measure one, and what refused is explained.
TEST_P(DecisionPath, AllocatesNothingWhereDevicesDiffer) {
  auto devices = alike(8);
  devices.push_back(fast_spec());
  devices.push_back(frugal_spec());
  run(devices, {}, 100);
}

/// Conversations of four turns.
TEST_P(DecisionPath, AllocatesNothingWhereSessionsGoOn) {
  run(alike(12), core_fixture::quiet(), 70, [](request_meta& meta) {
    constexpr std::uint64_t sessions = 100, turns = 4;
    const auto session = meta.id.sequence % sessions;
    const auto turn = meta.id.sequence / sessions % turns;
    meta.session = "s" + std::to_string(session);
    for (std::uint64_t each = 1; each <= 2 * turn; ++each)
      meta.prefix_blocks.push_back(1'000 * each + session);
    meta.prompt_tokens += static_cast<std::uint32_t>(60 * turn);
  });
}

INSTANTIATE_TEST_SUITE_P(Policies, DecisionPath,
                         ::testing::Values("latency", "throughput", "energy", "cost", "hybrid",
                                           "random", "round-robin", "least-loaded", "power-of-two",
                                           "prefix-only"));

} // namespace

} // namespace consort::core::testing
