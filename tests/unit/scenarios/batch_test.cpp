// SPDX-License-Identifier: Apache-2.0
// Continuous batching without a clock: steps are taken by hand, with a cost that is easy to add up.
#include "scenarios/models/batch.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>

namespace consort::sim {
namespace {

/// 10 us, 1 for each decoding sequence, 1 for each 100 KV tokens read, 1 for each prompt token.
class plain_cost : public step_cost {
public:
  double step_us(const step_load& load) const override {
    return 10 + load.decoding + double(load.decode_kv) / 100 + load.prefill_tokens();
  }
  decode_line line_of(std::uint32_t decoding, double) const override {
    return {10.0 + decoding, 0.01};
  }
  double intensity(const step_load&) const override { return 0.5; }
};

struct outcome {
  double first_us = 0;
  double done_us = 0;
  std::uint32_t tokens = 0;
  std::uint32_t cached = 0;
};

/// Plays a batch to its end. `most_us`: length of a macro-step.
class BatchTest : public testing::Test {
protected:
  static batch_settings settings(std::uint64_t blocks, bool reserves) {
    batch_settings made;
    made.max_sequences = 64;
    made.step_tokens = 100;
    made.blocks = blocks;
    made.block_tokens = reserves ? 1 : 16;
    made.reserves_output = reserves;
    made.prefix_cache = true;
    return made;
  }

  static batch_request request(std::uint64_t id, std::uint32_t prompt, std::uint32_t output,
                               std::vector<std::uint64_t> prefix = {}) {
    batch_request made;
    made.id = id;
    made.prompt_tokens = prompt;
    made.output_tokens = output;
    made.prefix = std::move(prefix);
    made.prefix_tokens = 16;
    return made;
  }

  std::map<std::uint64_t, outcome> play(batch& runs, double most_us) {
    std::map<std::uint64_t, outcome> seen;
    while (const auto plan = runs.begin(now_, most_us)) {
      now_ += plan->us;
      runs.end();
      EXPECT_LE(runs.kv_tokens_used(), runs.kv_tokens_max());
      for (const auto id : runs.first())
        seen[id].first_us = now_;
      for (const auto& one : runs.finished()) {
        auto& ended = seen[one.request.id];
        ended = {ended.first_us == 0 ? now_ : ended.first_us, now_, one.emitted, one.cached_tokens};
      }
      most_running_ = std::max(most_running_, runs.running());
    }
    return seen;
  }

  double now_ = 0;
  std::uint32_t most_running_ = 0;
  step_cost_ptr cost_ = std::make_shared<plain_cost>();
};

TEST_F(BatchTest, APromptTakesItsChunksThenEveryTokenAStep) {
  batch runs(settings(10'000, true), cost_);
  runs.add(request(1, 150, 3), 0);
  const auto seen = play(runs, 0);
  // Chunks of 100 and 50, then two steps that read 150 and 151 tokens.
  EXPECT_DOUBLE_EQ(seen.at(1).first_us, 110 + 60);
  EXPECT_DOUBLE_EQ(seen.at(1).done_us, 170 + 12.5 + 12.51);
  EXPECT_EQ(seen.at(1).tokens, 3U);
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
}

TEST_F(BatchTest, MacroStepsEndWhenSingleStepsDo) {
  const auto run = [&](double most_us, bool reserves) {
    batch runs(settings(2'000, reserves), cost_);
    for (std::uint64_t id = 1; id <= 20; ++id)
      runs.add(request(id, 20 + 7 * static_cast<std::uint32_t>(id) % 90,
                       1 + 13 * static_cast<std::uint32_t>(id) % 101),
               0);
    now_ = 0;
    return play(runs, most_us);
  };
  for (const bool reserves : {true, false}) {
    const auto single = run(0, reserves);
    const auto macro = run(std::numeric_limits<double>::infinity(), reserves);
    ASSERT_EQ(single.size(), 20U);
    ASSERT_EQ(macro.size(), 20U);
    for (const auto& [id, one] : single) {
      EXPECT_NEAR(macro.at(id).done_us, one.done_us, 1e-6) << id;
      EXPECT_EQ(macro.at(id).tokens, one.tokens) << id;
    }
  }
}

TEST_F(BatchTest, AMacroStepIsCutToTheStepUnderWay) {
  batch runs(settings(10'000, true), cost_);
  runs.add(request(1, 10, 1'000), 0);
  runs.begin(0, 0);
  runs.end();
  const auto plan = runs.begin(0, std::numeric_limits<double>::infinity());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->steps, 999U);
  // Steps of 11.1, 11.11 and 11.12 us.
  EXPECT_NEAR(runs.cut(25), 33.33, 1e-9);
  runs.end();
  EXPECT_EQ(runs.find(1)->emitted, 4U);
}

TEST_F(BatchTest, TheYoungestIsPreemptedWhenBlocksRunOutAndLosesNoToken) {
  batch runs(settings(12, false), cost_);
  for (std::uint64_t id = 1; id <= 3; ++id)
    runs.add(request(id, 32, 60), 0);
  const auto seen = play(runs, std::numeric_limits<double>::infinity());
  EXPECT_GT(runs.preemptions(), 0U);
  EXPECT_EQ(most_running_, 3U);
  for (std::uint64_t id = 1; id <= 3; ++id)
    EXPECT_EQ(seen.at(id).tokens, 60U);
  EXPECT_LT(seen.at(1).done_us, seen.at(3).done_us);
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
}

TEST_F(BatchTest, AKnownPrefixIsNotComputedAgain) {
  batch runs(settings(1'000, false), cost_);
  runs.add(request(1, 64, 2, {11, 12, 13, 14}), 0);
  play(runs, 0);
  now_ = 0;
  runs.add(request(2, 64, 1, {11, 12, 13, 14}), 0);
  runs.add(request(3, 80, 1, {11, 12, 99, 98, 97}), 0);
  const auto seen = play(runs, 0);
  // The last prompt token is always computed, so of four blocks three are reused.
  EXPECT_EQ(seen.at(2).cached, 48U);
  EXPECT_EQ(seen.at(3).cached, 32U);
  EXPECT_DOUBLE_EQ(seen.at(3).first_us, 10 + 16 + 48);
}

TEST_F(BatchTest, WhatComesWithItsCacheTakesNoBlocksForAPrefixThatIsKnown) {
  batch runs(settings(8, false), cost_);
  runs.add(request(1, 64, 20, {11, 12, 13, 14}), 0);
  auto brought = request(2, 64, 20, {11, 12, 13, 14});
  brought.computed = true;
  runs.begin(0, 0);
  runs.end();
  // Four blocks are known and the first one's fifth is taken: all four of the second anew would be
  // more than there are.
  runs.add(std::move(brought), 0);
  const auto seen = play(runs, 0);
  EXPECT_EQ(seen.at(1).tokens, 20U);
  EXPECT_EQ(seen.at(2).tokens, 20U);
  EXPECT_EQ(runs.preemptions(), 0U);
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
}

TEST_F(BatchTest, ThePrefixUsedLongestAgoIsForgottenFirst) {
  batch_blocks blocks(4);
  for (const std::uint64_t hash : {0, 2}) { // A hash of 0 is one like any other.
    ASSERT_TRUE(blocks.take(2));
    EXPECT_NE(blocks.share(hash, 2), batch_blocks::none);
  }
  const auto first = blocks.find(0);
  blocks.release(first);
  blocks.release(blocks.find(2));
  EXPECT_EQ(blocks.idle_blocks(first), 2U);
  blocks.hold(first);
  EXPECT_EQ(blocks.idle_blocks(first), 0U) << "held";
  blocks.release(first);
  EXPECT_EQ(blocks.available(), 4U);
  ASSERT_TRUE(blocks.take(1));
  EXPECT_EQ(blocks.find(0), first);
  EXPECT_EQ(blocks.find(2), batch_blocks::none);
  EXPECT_FALSE(blocks.take(4));
}

TEST_F(BatchTest, CancelledOnesFreeWhatTheyHeld) {
  batch runs(settings(100, false), cost_);
  runs.add(request(1, 40, 50), 0);
  runs.add(request(2, 40, 50), 0);
  runs.begin(0, 0);
  EXPECT_TRUE(runs.cancel(2));
  runs.end();
  runs.begin(0, 100);
  EXPECT_TRUE(runs.cancel(1));
  EXPECT_FALSE(runs.cancel(1));
  runs.end();
  EXPECT_FALSE(runs.begin(0, 0));
  EXPECT_EQ(runs.kv_tokens_used(), 0U);
  EXPECT_TRUE(runs.ids().empty());
}

TEST_F(BatchTest, CompiledPromptsArePaddedAndNeverCut) {
  auto fixed = settings(10'000, true);
  fixed.prompt_buckets = {64, 256};
  batch runs(fixed, cost_);
  runs.add(request(1, 65, 1), 0);
  runs.add(request(2, 10, 1), 0);
  const auto seen = play(runs, 0);
  EXPECT_DOUBLE_EQ(seen.at(1).done_us, 10 + 256);
  EXPECT_DOUBLE_EQ(seen.at(2).done_us, 266 + 10 + 64);
}

} // namespace
} // namespace consort::sim
