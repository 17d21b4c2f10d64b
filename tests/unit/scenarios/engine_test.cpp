// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/engine.hpp"

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
  std::unique_ptr<engine> make(std::uint64_t kv_tokens = 10'000) {
    engine::callbacks calls;
    calls.now = [this] { return heap_.now(); };
    calls.after
        = [this](duration_us delay, engine_action what) { heap_.after(delay, std::move(what)); };
    calls.on_tokens = [this](const attempt_id& who, std::uint32_t first, std::uint32_t count) {
      for (auto token = first; token < first + count; ++token)
        tokens_[who].push_back(static_cast<std::int32_t>(token));
      first_at_.emplace(who, heap_.now());
      ++calls_of_tokens_;
    };
    calls.on_finished = [this](const engine_sequence& done) {
      finished_[done.attempt] = done;
      finished_at_[done.attempt] = heap_.now();
    };
    calls.on_energy = [this](double mj) { energy_mj_ += mj; };
    return std::make_unique<engine>(device_, shape_of_sizes(1, 1), kv_tokens, delivery_,
                                    random_source(1, "engine"), std::move(calls));
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

  device_model_ptr device_ = find_device_model("refnpu-1");
  const device_model& npu_ = *device_;
  token_delivery delivery_ = token_delivery::each;
  event_heap heap_;
  std::map<attempt_id, std::vector<std::int32_t>> tokens_;
  std::map<attempt_id, time_us> first_at_;
  std::map<attempt_id, engine_sequence> finished_;
  std::map<attempt_id, time_us> finished_at_;
  double energy_mj_ = 0;
  std::uint64_t calls_of_tokens_ = 0;
};

TEST_F(EngineTest, TakesPrefillThenOneStepForEachFurtherToken) {
  auto runs = make();
  runs->add(sequence(1, 200, 5));
  play();
  EXPECT_EQ(first_at_[attempt(1)], 10'000);
  EXPECT_EQ(heap_.now(), 10'000 + 4 * 1'000);
  EXPECT_EQ(tokens_[attempt(1)], (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(finished_.size(), 1U);
  EXPECT_EQ(runs->kv_tokens_used(), 0U);
}

TEST_F(EngineTest, ResumesWhereTheFormerAttemptStopped) {
  auto runs = make();
  runs->add(sequence(1, 20, 5, 3));
  play();
  EXPECT_EQ(tokens_[attempt(1)], (std::vector<std::int32_t>{3, 4}));
}

TEST_F(EngineTest, NeverRunsMoreThanItsSequences) {
  auto runs = make();
  for (std::uint64_t number = 1; number <= npu_.max_sequences + 3; ++number)
    runs->add(sequence(number, 10, 50));
  EXPECT_EQ(runs->running(), 1U); // The first step is under way with the first sequence alone.
  std::uint32_t most = 0;
  while (heap_.run_next())
    most = std::max(most, runs->running());
  EXPECT_EQ(most, npu_.max_sequences);
  EXPECT_EQ(finished_.size(), npu_.max_sequences + 3);
  EXPECT_GT(finished_[attempt(npu_.max_sequences + 3)].waited_us, 0);
}

TEST_F(EngineTest, NeverHoldsMoreKvTokensThanItHas) {
  auto runs = make(100);
  for (std::uint64_t number = 1; number <= 4; ++number)
    runs->add(sequence(number, 30, 20));
  while (heap_.run_next()) {
    ASSERT_LE(runs->kv_tokens_used(), 100U);
    ASSERT_LE(runs->running(), 2U);
  }
  EXPECT_EQ(finished_.size(), 4U);
}

TEST_F(EngineTest, CancelStopsRunningAndWaitingSequences) {
  auto runs = make(100);
  runs->add(sequence(1, 50, 40));
  runs->add(sequence(2, 50, 40));
  EXPECT_TRUE(runs->cancel(attempt(2)));
  EXPECT_TRUE(runs->cancel(attempt(1)));
  EXPECT_FALSE(runs->cancel(attempt(1)));
  play();
  EXPECT_TRUE(tokens_.empty());
  EXPECT_EQ(runs->kv_tokens_used(), 0U);
}

TEST_F(EngineTest, ASlowDeviceTakesItsFactorLonger) {
  auto runs = make();
  runs->set_slowness(4);
  runs->add(sequence(1, 200, 2));
  play();
  EXPECT_EQ(heap_.now(), 4 * (10'000 + 1'000));
}

TEST_F(EngineTest, AStepUnderWayDoesNotOutliveItsEngine) {
  {
    auto runs = make();
    runs->add(sequence(1, 200, 2));
  }
  play();
  EXPECT_TRUE(tokens_.empty());
}

TEST_F(EngineTest, GatheredTokensAreTheSameAndEndAtTheSameTime) {
  const auto play_all = [&](token_delivery delivery) {
    delivery_ = delivery;
    tokens_.clear();
    finished_at_.clear();
    calls_of_tokens_ = 0;
    const auto start = heap_.now();
    auto runs = make();
    for (std::uint64_t number = 1; number <= 12; ++number)
      heap_.at(start + static_cast<time_us>(number) * 37'001, [&, number] {
        runs->add(sequence(number, 20 * static_cast<std::uint32_t>(number), 400));
      });
    play();
    std::map<attempt_id, time_us> ends;
    for (const auto& [who, at] : finished_at_)
      ends[who] = at - start;
    return std::pair(tokens_, ends);
  };
  const auto each = play_all(token_delivery::each);
  const auto each_calls = calls_of_tokens_;
  const auto gathered = play_all(token_delivery::gathered);
  EXPECT_EQ(each.first, gathered.first);
  ASSERT_EQ(each.second.size(), 12U);
  for (const auto& [who, at] : each.second)
    EXPECT_NEAR(double(gathered.second.at(who)), double(at), 5);
  EXPECT_LT(calls_of_tokens_ * 20, each_calls);
}

TEST_F(EngineTest, PromptsPrefilledElsewhereBringTheirCacheAlong) {
  auto both = *device_;
  both.prefill.device = device_;
  both.prefill.transfer_us = 7'000;
  device_ = std::make_shared<const device_model>(both);
  auto runs = make();
  runs->add(sequence(1, 200, 5));
  runs->add(sequence(2, 200, 1));
  play();
  EXPECT_EQ(first_at_[attempt(1)], 10'000);
  EXPECT_EQ(tokens_[attempt(1)], (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  // Four more steps of its own after the way over: the first also takes in one token of the prompt.
  EXPECT_NEAR(double(finished_at_[attempt(1)]), 10'000 + 7'000 + 3 * 1'000 + 50, 1);
  EXPECT_EQ(tokens_[attempt(2)], (std::vector<std::int32_t>{0}));
  EXPECT_EQ(runs->kv_tokens_used(), 0U);
}

TEST_F(EngineTest, AServiceElsewhereTakesItsOwnTimeToBegin) {
  device_ = find_device_model("remote-api");
  auto runs = make(1'000'000);
  std::uint64_t number = 0;
  for (; number < 200; ++number)
    runs->add(sequence(number + 1, 10, 3));
  EXPECT_TRUE(runs->cancel(attempt(1)));
  play();
  EXPECT_EQ(finished_.size(), 199U);
  time_us least = first_at_.begin()->second;
  time_us most = least;
  for (const auto& [who, at] : first_at_) {
    least = std::min(least, at);
    most = std::max(most, at);
  }
  EXPECT_GT(least, 100'000);
  EXPECT_GT(most, 2 * least);
}

TEST_F(EngineTest, ADeviceThatSleptWakesFirst) {
  auto sleepy = *device_;
  sleepy.sleep_after_us = 1'000'000;
  sleepy.wake_us = 50'000;
  device_ = std::make_shared<const device_model>(sleepy);
  auto runs = make();
  heap_.at(500'000, [&] { runs->add(sequence(1, 200, 1)); });
  heap_.at(5'000'000, [&] { runs->add(sequence(2, 200, 1)); });
  play();
  EXPECT_EQ(first_at_[attempt(1)], 510'000);
  EXPECT_EQ(first_at_[attempt(2)], 5'060'000);
}

TEST_F(EngineTest, EnergyAboveIdleIsCountedForEveryStep) {
  auto runs = make(100'000);
  runs->add(sequence(1, 20'000, 1));
  play();
  // A second of prefill at the board's limit: 25 W, of which 4 are idle.
  EXPECT_NEAR(energy_mj_, 21'000, 1);
}

TEST_F(EngineTest, AHybridRunsNoMoreThanItsDecodeSideTakes) {
  auto hybrid = *find_device_model("cpu-local");
  hybrid.type = "hybrid";
  hybrid.max_sequences = 1;
  hybrid.prefill.device = find_device_model("cpu-local");
  device_ = std::make_shared<const device_model>(std::move(hybrid));
  const auto runs = make();
  for (std::uint64_t number = 1; number <= 3; ++number)
    runs->add(sequence(number, 100, 50));
  std::uint32_t most = 0;
  while (heap_.run_next())
    most = std::max(most, runs->running());
  EXPECT_EQ(most, 1U);
  EXPECT_EQ(finished_.size(), 3U);
}

} // namespace
} // namespace consort::sim
