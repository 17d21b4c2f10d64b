// SPDX-License-Identifier: Apache-2.0
// Floors under scores: never above any of them, whatever the request and the time, and as high as
// the lowest where requests are as usual.
#include "scheduler/score_view.hpp"

#include "scheduler/prng.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

constexpr work_size usual{1'000, 200};

class ScoreFloor : public ::testing::TestWithParam<const char*> {
protected:
  static const profile& how() {
    const auto& all = builtin_profiles();
    return *std::find_if(all.begin(), all.end(),
                         [](const profile& one) { return one.name.value == GetParam(); });
  }
  /// A view of so many endpoints, as of a time, measured for usual requests.
  static score_view view_of(index endpoints, std::int64_t now_ns, prng& chance) {
    score_view view(0, how());
    for (index place = 0; place < endpoints; ++place) {
      endpoint_figures one;
      one.queue_ns = chance.below(4) == 0 ? static_cast<std::int64_t>(chance.below(1U << 30U)) : 0;
      one.behind_ns = static_cast<std::int64_t>(chance.below(50'000'000));
      one.ready_ns = now_ns + static_cast<std::int64_t>(chance.below(900'000'000)) - 300'000'000;
      one.first_ns = static_cast<std::uint32_t>(chance.below(20'000'000));
      one.prefill_ns = static_cast<std::uint32_t>(1'000 + chance.below(300'000));
      one.itl_ns = static_cast<std::uint32_t>(1'000'000 + chance.below(60'000'000));
      one.shared_ns = one.itl_ns / 2;
      one.read_ns = one.prefill_ns;
      one.batch = static_cast<std::uint32_t>(1 + chance.below(8));
      one.running = one.batch;
      one.active_mw = static_cast<std::uint32_t>(chance.below(600'000));
      one.price_micros = static_cast<std::uint32_t>(chance.below(4'000'000));
      one.prompt_pico = static_cast<std::uint32_t>(chance.below(5'000'000));
      one.output_pico = static_cast<std::uint32_t>(chance.below(20'000'000));
      view.grow(one);
      view.write(place, one, {0, 1, 1});
      view.learned(place, one);
    }
    view.tidy(usual, now_ns);
    return view;
  }
  static std::int64_t least_of(const score_view& view, work_size size, std::int64_t now_ns) {
    auto least = std::numeric_limits<std::int64_t>::max();
    for (index place = 0; place < view.size(); ++place)
      least = std::min(least,
                       how().at(view.score(place), size.prompt_tokens, size.output_tokens, now_ns));
    return least;
  }
  static std::int64_t bound_of(const score_view& view, work_size size, std::int64_t now_ns) {
    return static_cast<std::int64_t>(view.shares_of(size.prompt_tokens, size.output_tokens, now_ns)
                                         .bound(view.floors().top().score));
  }
};

TEST_P(ScoreFloor, IsAboveNoScoreWhateverTheSizeAndTheTime) {
  prng chance(5);
  for (int round = 0; round < 400; ++round) {
    const auto begun_ns = static_cast<std::int64_t>(chance.below(1U << 31U)) * 1'000;
    const auto view = view_of(40, begun_ns, chance);
    for (int each = 0; each < 20; ++each) {
      const work_size size{static_cast<std::uint32_t>(chance.below(8'000)),
                           static_cast<std::uint32_t>(chance.below(2'000))};
      const auto now_ns = begun_ns + static_cast<std::int64_t>(chance.below(2'000'000'000));
      ASSERT_LE(bound_of(view, size, now_ns), least_of(view, size, now_ns)) << round;
    }
  }
}

TEST_P(ScoreFloor, IsCloseWhereRequestsAreAsUsual) {
  prng chance(6);
  std::int64_t floors = 0, scores = 0, parts = 0;
  for (int round = 0; round < 200; ++round) {
    const auto view = view_of(40, 1'000'000'000, chance);
    floors += bound_of(view, usual, 1'000'000'000) / 1'000;
    scores += least_of(view, usual, 1'000'000'000) / 1'000;
    auto least = view.score(0);
    for (index place = 1; place < view.size(); ++place)
      least.join(view.score(place));
    parts += how().at(least, usual.prompt_tokens, usual.output_tokens, 1'000'000'000) / 1'000;
  }
  EXPECT_GT(floors, scores / 10 * 8);
  EXPECT_GT(floors - parts, (scores - parts) / 2) << "than the least of each part";
}

TEST_P(ScoreFloor, HoldsOfTheLongestRequestAndTheLatestTime) {
  prng chance(7);
  const auto view = view_of(40, 1'000'000'000, chance);
  const work_size size{scored_tokens_max, scored_tokens_max};
  const auto late_ns = std::int64_t{10} * 365 * 86'400 * 1'000'000'000;
  EXPECT_LE(bound_of(view, size, late_ns), least_of(view, size, late_ns));
  EXPECT_GT(bound_of(view, size, late_ns), 0);
}

TEST_P(ScoreFloor, NeighboursAreReckonedWithAsEachAlone) {
  prng chance(8);
  const auto view = view_of(38, 1'000'000'000, chance);
  const auto& floors = view.floors();
  const auto shares = view.shares_of(700, 300, 1'200'000'000);
  const auto beside = (floors.width(0) + tree_width - 1) / tree_width;
  for (index group = 0; group < beside; ++group) {
    const auto bounds = shares.bounds(floors.beside(0, group));
    for (index which = 0; which < tree_width; ++which) {
      const auto at = group * tree_width + which;
      if (at >= floors.width(0)) {
        EXPECT_GT(bounds.of[which], rounded_up(std::numeric_limits<std::int64_t>::max()))
            << "of nobody";
        continue;
      }
      const auto alone = shares.bound(floors.at(0, at).score);
      EXPECT_NEAR(bounds.of[which], alone, alone * floor_slack / 8);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, ScoreFloor,
                         ::testing::Values("latency", "throughput", "energy", "cost", "hybrid"));

TEST(ScoreView, EqualScoresHaveOneNumberAndOthersAnother) {
  const linear_score one{1, 2, 3, 4, 5};
  EXPECT_EQ(likeness_of(one), likeness_of({1, 2, 3, 4, 5}));
  EXPECT_NE(likeness_of({}), 0U);
  for (const auto& other :
       {linear_score{2, 2, 3, 4, 5}, linear_score{1, 3, 3, 4, 5}, linear_score{1, 2, 4, 4, 5},
        linear_score{1, 2, 3, 5, 5}, linear_score{1, 2, 3, 4, 6}, linear_score{2, 1, 3, 4, 5}})
    EXPECT_NE(likeness_of(one), likeness_of(other));
}

TEST(ScoreView, IsMeasuredAnewWhenRequestsBecomeOthers) {
  score_view view(0, builtin_profiles().front());
  endpoint_figures one;
  one.itl_ns = 1'000'000;
  for (index place = 0; place < 40; ++place)
    view.grow(one);
  const auto shares = [&](work_size now) {
    view.tidy(now, 0);
    return view.shares_of(1'000, 200, 0);
  };
  const auto at_first = shares({1'000, 200});
  EXPECT_GT(at_first.of[2], 0);
  EXPECT_EQ(at_first.prompt_beyond, 0) << "a usual one lies between the sizes";
  EXPECT_EQ(shares({1'500, 150}).of, at_first.of) << "about the same";
  EXPECT_GT(shares({100, 200}).prompt_beyond, 0) << "as are shorter prompts now";
}

} // namespace

} // namespace consort::core
