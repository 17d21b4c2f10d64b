// SPDX-License-Identifier: Apache-2.0
#include "scheduler/endpoints.hpp"

#include "scheduler/explain.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/prng.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace consort::core {

namespace {

speed_estimate speed() {
  speed_estimate known;
  known.prefill_ns = 10;
  known.decode_ns = 100;
  known.gain_pm = 500;
  return known;
}

endpoint_table table_of(std::uint32_t sequences, std::uint64_t kv) {
  endpoint one;
  one.instance = 0;
  one.seq_max = sequences;
  one.kv_max = kv;
  one.open = true;
  endpoint_table table;
  table.add(one);
  table.refresh(0, speed());
  return table;
}

TEST(Endpoints, IdleOneTakesAnything) {
  const auto table = table_of(1, 10);
  EXPECT_EQ(table.room(0).kv_free, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(table.room(0).seq_free, std::numeric_limits<std::int32_t>::max());
}

TEST(Endpoints, ReservationsAreSubtractedAndGivenBack) {
  auto table = table_of(4, 1'000);
  const reservation held{1, 300, 900, 200};
  table.reserve(0, held, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.room(0).kv_free, 700);
  EXPECT_EQ(table.room(0).seq_free, 4);
  EXPECT_EQ(table.pace(0).ready_ns, 200);
  EXPECT_EQ(table.pace(0).itl_ns, 150U);
  table.release(0, held, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.at(0).work_ns, 0);
  EXPECT_EQ(table.pace(0).ready_ns, 0);
}

TEST(Endpoints, FirstTokenEndsThePrefillAhead) {
  auto table = table_of(4, 0);
  reservation held{1, 0, 900, 200};
  table.reserve(0, held, 0);
  table.first_token(0, held, 0);
  EXPECT_EQ(table.at(0).prefill_ahead_ns, 0);
  EXPECT_EQ(held.prefill_ns, 0);
}

TEST(Endpoints, WaitForPromptsAheadGetsLessAsTimePasses) {
  auto table = table_of(4, 0);
  reservation first{1, 0, 900'000, 200'000}, second{1, 0, 900'000, 100'000};
  table.reserve(0, first, 1'000);
  table.reserve(0, second, 1'100);
  table.refresh(0, speed());
  EXPECT_EQ(queue_left(table.pace(0), 1'100'000), 200'000);
  EXPECT_EQ(queue_left(table.pace(0), 1'125'000), 175'000);
  EXPECT_EQ(queue_left(table.pace(0), 9'000'000), 150'000)
      << "however late the first is, the second is still to be read: thought as long as the mean";
  table.first_token(0, first, 1'400);
  table.refresh(0, speed());
  EXPECT_EQ(queue_left(table.pace(0), 1'400'000), 100'000) << "late: the next begins only now";
  table.release(0, second, 1'450);
  table.refresh(0, speed());
  EXPECT_EQ(queue_left(table.pace(0), 1'450'000), 0);
}

TEST(Endpoints, FullOneQueuesBehindItsWork) {
  auto table = table_of(2, 0);
  table.reserve(0, {2, 0, 1'000, 0}, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.pace(0).queue_ns, 500);
  EXPECT_EQ(table.room(0).seq_free, 1) << "its short backlog";
  table.reserve(0, {1, 0, 500, 0}, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.room(0).seq_free, 0);
}

TEST(Endpoints, KvMayHoldFewerThanAreDeclared) {
  auto table = table_of(256, 1'000);
  EXPECT_EQ(table.room(0).slots, 256U) << "nothing is known of what will run there";
  table.reserve(0, {1, 200, 900, 0}, 0);
  table.reserve(0, {1, 300, 1'100, 0}, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.room(0).slots, 4U) << "of 250 tokens in the mean";
  EXPECT_EQ(table.pace(0).queue_ns, 0) << "one that fits begins at once";
  EXPECT_EQ(table.pace(0).full_ns, 500) << "one that does not waits for the work of four";
  EXPECT_EQ(room_in(table.pace(0)), 500);
}

TEST(Endpoints, FullByItsSequencesIsToldOnce) {
  auto table = table_of(2, 0);
  table.reserve(0, {2, 0, 1'000, 0}, 0);
  table.refresh(0, speed());
  EXPECT_EQ(table.pace(0).queue_ns, 500);
  EXPECT_EQ(room_in(table.pace(0)), 0);
}

TEST(SharedToken, IsTheWholeGapWhereNothingComes) {
  EXPECT_EQ(shared_token_ns(speed(), {}, 16), 100U);
}

TEST(SharedToken, IsSharedByThoseWhoWouldDecodeTogether) {
  speed_estimate known;
  known.decode_ns = 10'000'000; // 10 ms.
  known.gain_pm = 0;
  const model_load load{2'000, 150}; // 300 tokens a second: three are under way at any time.
  EXPECT_EQ(shared_token_ns(known, load, 16), 2'500'000U) << "and it is the fourth";
  EXPECT_EQ(shared_token_ns(known, load, 2), 5'000'000U) << "as far as there is room";
  known.gain_pm = 100; // Each further one makes gaps 10 % longer: 1 + 3 / (1 - 0.3) = 5.3.
  EXPECT_NEAR(shared_token_ns(known, load, 16), 2'650'000, 50'000);
  known.gain_pm = 500; // More than it can serve.
  EXPECT_EQ(shared_token_ns(known, load, 16), 10'000'000U * 17 / 2 / 16);
}

TEST(SharedToken, NoLoadOverflows) {
  speed_estimate slowest;
  slowest.decode_ns = 1'000'000'000;
  slowest.gain_pm = 4'000;
  const auto most = std::numeric_limits<std::int64_t>::max();
  EXPECT_GT(shared_token_ns(slowest, {most, most}, limits::endpoint_sequences_max), 0U);
}

TEST(Endpoints, AreRefreshedForALoadThatSomebodyReads) {
  auto table = table_of(4, 0);
  EXPECT_FALSE(table.expect({2'000, 100})) << "no profile reads of it";
  const auto& all = builtin_profiles();
  const auto energy = std::find_if(all.begin(), all.end(), [](const profile& one) {
    return one.weight(scorer_id::energy) != 0;
  });
  ASSERT_NE(energy, all.end());
  table.scores_by(2, *energy, 0);
  EXPECT_TRUE(table.expect({2'000, 100}));
  EXPECT_FALSE(table.expect({2'000 + limits::rate_change_pm, 100})) << "about the same";
  EXPECT_TRUE(table.expect({3'000, 100}));
  EXPECT_TRUE(table.expect({3'000, 200}));
}

TEST(Endpoints, BacklogIsAShareOfTheSequencesAndAtLeastOne) {
  EXPECT_EQ(backlog_of(1), 1U);
  EXPECT_EQ(backlog_of(8), 1U);
  EXPECT_EQ(backlog_of(256), 256 * limits::endpoint_backlog_pm / 1000);
}

TEST(Endpoints, ClosedOneHasNoRoom) {
  auto table = table_of(4, 0);
  table.at(0).open = false;
  table.refresh(0, speed());
  EXPECT_LT(table.room(0).seq_free, 0);
}

/// What the floors say is what the slow way finds: over those with a free sequence, over those that
/// are full, and over all.
void expect_floors(endpoint_table& table, const score_view& view) {
  leaf_floor free, full;
  room_floor most;
  for (index at = 0; at < table.size(); ++at) {
    const auto& room = table.room(at);
    const room_floor own{room.seq_free > 0 ? room.kv_free : -1, room.seq_free,
                         room.seq_free < 0 ? 0 : 1U << table.at(at).kind};
    most.join(own);
    if (room.seq_free >= 0)
      (room.seq_free > 0 ? free : full)
          .join({view.floor_under(view.score(at)), own, at, likeness_of(view.score(at))});
  }
  EXPECT_EQ(view.floors().top(), free);
  EXPECT_EQ(view.full().top(), full);
  EXPECT_EQ(table.room_floors().top(), most);
}

TEST(Endpoints, FloorsAreTheLeastWhateverChanges) {
  prng chance(7);
  endpoint_table table;
  const auto& how = builtin_profiles().front();
  for (int step = 0; step < 2'000; ++step) {
    const auto size = static_cast<std::uint32_t>(table.size());
    const auto at = static_cast<index>(chance.below(size + 1));
    if (at == size || chance.below(3) > 0) {
      endpoint one;
      one.instance = 0;
      one.open = chance.below(4) > 0;
      one.kind = static_cast<std::uint32_t>(chance.below(32));
      one.seq_max = 4;
      table.add(one);
    } else if (table.used(at) && table.at(at).seq_used == 0) {
      table.remove(at);
    }
    if (table.empty())
      continue;
    speed_estimate known;
    known.prefill_ns = static_cast<std::uint32_t>(1 + chance.below(1'000));
    known.decode_ns = static_cast<std::uint32_t>(1 + chance.below(1'000));
    const auto place = static_cast<index>(chance.below(table.size()));
    if (!table.used(place))
      continue;
    if (chance.below(2) == 0)
      table.reserve(place, {1, 0, 500, static_cast<std::int64_t>(chance.below(900))}, 0);
    table.refresh(place, known);
    // Made late, so that both ways to make it are tried.
    expect_floors(table, table.scores_by(step < 100 ? 0 : 1, how, 0));
  }
  EXPECT_GT(table.size(), 64U) << "three levels";
}

TEST(Endpoints, PlacesAreGivenAgainAndNobodysPlaceIsClosed) {
  endpoint_table table;
  endpoint one;
  one.instance = 7;
  one.open = true;
  EXPECT_EQ(table.add(one), 0U);
  EXPECT_EQ(table.add(one), 1U);
  table.refresh(0, speed());
  table.remove(0);
  EXPECT_FALSE(table.used(0));
  EXPECT_LT(table.room(0).seq_free, 0);
  EXPECT_EQ(table.add(one), 0U);
  table.remove(0);
  table.remove(1);
  EXPECT_TRUE(table.empty());
}

/// As a look at each tells.
std::optional<std::int64_t> least_by_looking(const endpoint_table& table, std::int64_t now_ns,
                                             const std::vector<std::uint8_t>& matches) {
  std::optional<std::int64_t> least;
  for (index place = 0; place < table.size(); ++place) {
    if (table.room(place).seq_free < 0 || matches[table.room(place).device] == 0)
      continue;
    const bool crowded = table.at(place).seq_used >= table.room(place).slots;
    const auto& pace = table.pace(place);
    const auto wait = queue_left(pace, now_ns) + (crowded ? room_in(pace) : 0);
    least = std::min(least.value_or(wait), wait);
  }
  return least;
}

TEST(Endpoints, LeastWaitOfManyIsWhatALookAtEachFinds) {
  constexpr index count = 100;
  prng chance(3);
  endpoint_table table;
  for (index place = 0; place < count; ++place) {
    endpoint one;
    one.instance = one.device = place;
    one.seq_max = 2;
    one.kv_max = 1'000;
    table.add(one);
  }
  std::vector<std::uint8_t> matches(count, 1);
  EXPECT_FALSE(table.least_wait_ns(0, matches)) << "nobody is open";
  time_us now = 0;
  int waited = 0;
  for (int round = 0; round < 4'000; ++round) {
    now += static_cast<time_us>(chance.below(100));
    const auto place = static_cast<index>(chance.below(count));
    auto& one = table.at(place);
    one.open = chance.below(16) != 0;
    const auto prefill = static_cast<std::int64_t>(chance.below(3'000'000));
    if (one.seq_used < 3)
      table.reserve(place, {1, 400, prefill + 1'000'000, prefill}, now);
    table.refresh(place, speed());
    matches[chance.below(count)] = chance.below(3) == 0 ? 0 : 1;
    // Now and then changes gather until floors are made anew, for a few places or for all.
    if (round % 200 < 100 && chance.below(20) != 0)
      continue;
    const auto found = table.least_wait_ns(now * 1000, matches);
    ASSERT_EQ(found, least_by_looking(table, now * 1000, matches)) << round;
    waited += found.value_or(0) > 0 ? 1 : 0;
  }
  EXPECT_GT(waited, 1'000) << "while nobody is idle";
}

TEST(BestPlaces, KeepsTheBestInOrderWithTiesByPlace) {
  best_places best;
  best.reset(3);
  for (const auto& [place, score] :
       std::vector<std::pair<index, std::int64_t>>{{0, 5}, {1, 3}, {2, 5}, {3, 1}, {4, 3}, {5, 9}})
    best.offer(place, score, 0);
  ASSERT_EQ(best.size(), 3U);
  EXPECT_EQ(best[0].place, 3U);
  EXPECT_EQ(best[1].place, 1U);
  EXPECT_EQ(best[2].place, 4U);
  best.offer(4, 0, 7);
  EXPECT_EQ(best[0].place, 4U);
  EXPECT_EQ(best[0].saved, 7U);
  EXPECT_EQ(best.size(), 3U);
  best.insist(4, 99);
  EXPECT_EQ(best[0].score, 0) << "it is among them already";
  best.insist(9, 99);
  ASSERT_EQ(best.size(), 3U);
  EXPECT_EQ(best[2].place, 9U) << "the worst left";
}

} // namespace

} // namespace consort::core
