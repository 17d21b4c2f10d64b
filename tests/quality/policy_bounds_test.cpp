// SPDX-License-Identifier: Apache-2.0
// The bounds that policies are judged by: nothing that was played beats them, and they are not
// empty words.
#include "tests/quality/policy_proofs.hpp"
#include "tests/quality/policy_search.hpp"

#include <gtest/gtest.h>

namespace consort::quality {
namespace {

TEST(PolicyBounds, JoulesOfOneRequestAreWithinItsOwn) {
  const std::vector<chip> fleet{known_chip("A100")};
  const std::vector<arrival> work{{0, 1'000, 100, {}}};
  const auto played
      = play_rule(fleet, work, [](const auto&, const auto&) { return std::size_t{0}; });
  const auto floor = joules_floor(fleet, work, 0, played.span_s);
  EXPECT_LE(floor, played.joules);
  EXPECT_GE(floor, 0.9 * played.joules) << "nobody shares its steps, so the bound is near";
}

TEST(PolicyBounds, NoRuleThatKeepsPromisesBeatsTheFloor) {
  const auto fleet = sleepy_fleet();
  const auto work = conversations(200, 1.5, 5);
  std::size_t turn = 0;
  const auto played = play_rule(fleet, work, [&](const auto&, const auto&) { return turn++ % 4; });
  const auto gathered
      = play_rule(fleet, work, [](const auto&, const auto&) { return std::size_t{2}; });
  ASSERT_GE(gathered.slo_share, 0.95);
  EXPECT_LE(joules_floor(fleet, work, 0, played.span_s), played.joules);
  EXPECT_LE(joules_floor(fleet, work, 0, gathered.span_s), gathered.joules);
  EXPECT_GE(joules_floor(fleet, work, 0, gathered.span_s), 0.2 * gathered.joules);
  EXPECT_LT(gathered.joules, played.joules) << "the others sleep";
}

TEST(PolicyBounds, TheBestFoundKeepsWhatIsAsked) {
  const std::vector<chip> fleet{sleepy_fleet()[0], sleepy_fleet()[2]};
  const auto work = conversations(100, 1, 5);
  const auto found = best_found(fleet, work, 0, 0.95);
  EXPECT_GE(found.slo_share, 0.95);
  EXPECT_GE(found.joules, joules_floor(fleet, work, 0, found.span_s));
  EXPECT_EQ(best_found(fleet, work, 0, 1.1).joules, 0) << "nobody keeps more than all";
}

TEST(PolicyBounds, ASearchFindsWhatIsBetterThanItsStarts) {
  const std::vector<chip> fleet{sleepy_fleet()[0], sleepy_fleet()[2]};
  const auto work = conversations(100, 1, 5);
  assignment in_turn;
  for (std::size_t at = 0; at < work.size(); ++at)
    in_turn.push_back(at % fleet.size());
  const auto found = best_searched(fleet, work, 0, 0.9, {in_turn}, 300, 1);
  const auto start = best_searched(fleet, work, 0, 0.9, {in_turn}, 1, 1);
  EXPECT_GE(found.slo_share, 0.9);
  EXPECT_LT(found.joules, 0.9 * start.joules) << "one of them may sleep";
  EXPECT_GE(found.joules, joules_floor(fleet, work, 0, found.span_s));
  EXPECT_EQ(best_searched(fleet, work, 0, 1.1, {in_turn}, 20, 1).joules, 0);
}

TEST(PolicyBounds, TwoEnginesAlikeTakeHalfTheTimeOfOne) {
  const auto one = known_chip("RNGD");
  const arrival reads{0, 2'000, 16, {}}, writes{0, 100, 200, {}};
  const auto alone = best_static_s({one}, reads, writes, 64, 4);
  const auto both = best_static_s({one, one}, reads, writes, 64, 4);
  EXPECT_LT(both, 0.8 * alone);
  EXPECT_GE(both, 0.5 * alone);
  // Every split is among those of twice the grains.
  EXPECT_LE(best_static_s({one, known_chip("A100")}, reads, writes, 64, 8),
            best_static_s({one, known_chip("A100")}, reads, writes, 64, 4));
}

TEST(PolicyBounds, APooledCacheKeepsWhatIsNeededSoonest) {
  // Inferentia2 holds so few blocks that two long beginnings do not fit beside each other.
  const std::vector<chip> fleet{known_chip("Inferentia2")};
  const auto room = engine(fleet[0]).cache_blocks();
  std::vector<arrival> work;
  const auto ask = [&](std::uint64_t name) {
    arrival one{static_cast<time_us>(work.size()) * 60 * core::limits::second_us, 1, 4, {}};
    for (std::uint64_t i = 0; i < room; ++i)
      one.blocks.push_back(name * 1'000 + i);
    one.prompt = static_cast<std::uint32_t>(room) * block_tokens;
    work.push_back(one);
  };
  for (const auto name : {1U, 2U, 1U, 2U})
    ask(name);
  // One of the two stays whole, and no more: a quarter of all prompts, to a token.
  EXPECT_NEAR(pooled_cache_bound(fleet, work, 0), 0.25, 0.001);
  EXPECT_EQ(play_rule(fleet, work, most_cached).cached_share, 0) << "who forgets the oldest first";
  EXPECT_NEAR(pooled_cache_bound({fleet[0], fleet[0]}, work, 0), 0.5, 0.001) << "both fit";
}

} // namespace
} // namespace consort::quality
