// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/engine.hpp"

#include "scenarios/sim/event_heap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace consort::sim {
namespace {

attempt_id attempt(std::uint64_t number) {
  return {{gateway_id(1), number}, 1};
}

/// An engine on a heap, with what it emitted.
class EngineTest : public testing::Test {
protected:
  engine make(std::uint64_t kv_tokens = 10'000) {
    engine::callbacks calls;
    calls.now = [this] { return heap_.now(); };
    calls.after = [this](duration_us delay, std::function<void()> what) {
      heap_.after(delay, std::move(what));
    };
    calls.on_token = [this](const attempt_id& who, std::int32_t token) {
      tokens_[who].push_back(token);
      first_at_.emplace(who, heap_.now());
    };
    calls.on_finished = [this](const engine_sequence& done) { finished_[done.attempt] = done; };
    return {npu_, kv_tokens, std::move(calls)};
  }

  static engine_sequence sequence(std::uint64_t number, std::uint32_t prompt, std::uint32_t output,
                                  std::uint32_t emitted = 0) {
    engine_sequence made;
    made.attempt = attempt(number);
    made.prompt_tokens = prompt;
    made.output_tokens = output;
    made.emitted = emitted;
    return made;
  }

  void play() {
    while (heap_.run_next()) {
    }
  }

  const device_model& npu_ = *find_device_model("refnpu-1");
  event_heap heap_;
  std::map<attempt_id, std::vector<std::int32_t>> tokens_;
  std::map<attempt_id, time_us> first_at_;
  std::map<attempt_id, engine_sequence> finished_;
};

TEST_F(EngineTest, TakesPrefillThenOneStepForEachFurtherToken) {
  auto runs = make();
  runs.add(sequence(1, 200, 5));
  play();
  EXPECT_EQ(first_at_[attempt(1)], 10'000);
  EXPECT_EQ(heap_.now(), 10'000 + 4 * 1'000);
  EXPECT_EQ(tokens_[attempt(1)], (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(finished_.size(), 1U);
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
}

TEST_F(EngineTest, ResumesWhereTheFormerAttemptStopped) {
  auto runs = make();
  runs.add(sequence(1, 20, 5, 3));
  play();
  EXPECT_EQ(tokens_[attempt(1)], (std::vector<std::int32_t>{3, 4}));
}

TEST_F(EngineTest, NeverRunsMoreThanItsSequences) {
  auto runs = make();
  for (std::uint64_t number = 1; number <= npu_.max_sequences + 3; ++number)
    runs.add(sequence(number, 10, 50));
  EXPECT_EQ(runs.running(), 1U); // The first step is under way with the first sequence alone.
  std::uint32_t most = 0;
  while (heap_.run_next())
    most = std::max(most, runs.running());
  EXPECT_EQ(most, npu_.max_sequences);
  EXPECT_EQ(finished_.size(), npu_.max_sequences + 3);
  EXPECT_GT(finished_[attempt(npu_.max_sequences + 3)].waited_us, 0);
}

TEST_F(EngineTest, NeverHoldsMoreKvTokensThanItHas) {
  auto runs = make(100);
  for (std::uint64_t number = 1; number <= 4; ++number)
    runs.add(sequence(number, 30, 20));
  while (heap_.run_next()) {
    ASSERT_LE(runs.kv_tokens_used(), 100U);
    ASSERT_LE(runs.running(), 2U);
  }
  EXPECT_EQ(finished_.size(), 4U);
}

TEST_F(EngineTest, CancelStopsRunningAndWaitingSequences) {
  auto runs = make(100);
  runs.add(sequence(1, 50, 40));
  runs.add(sequence(2, 50, 40));
  EXPECT_TRUE(runs.cancel(attempt(2)));
  EXPECT_TRUE(runs.cancel(attempt(1)));
  EXPECT_FALSE(runs.cancel(attempt(1)));
  play();
  EXPECT_TRUE(tokens_.empty());
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
}

TEST_F(EngineTest, ASlowDeviceTakesItsFactorLonger) {
  auto runs = make();
  runs.set_slowness(4);
  runs.add(sequence(1, 200, 2));
  play();
  EXPECT_EQ(heap_.now(), 4 * (10'000 + 1'000));
}

TEST_F(EngineTest, AStepUnderWayDoesNotOutliveItsEngine) {
  {
    auto runs = make();
    runs.add(sequence(1, 200, 2));
  }
  play();
  EXPECT_TRUE(tokens_.empty());
}

} // namespace
} // namespace consort::sim
