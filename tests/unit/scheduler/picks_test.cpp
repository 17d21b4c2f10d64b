// SPDX-License-Identifier: Apache-2.0
// What a search over floors finds is what a look at every endpoint finds, whatever the order of the
// leaves, while queues, speeds and who is open change under it.
#include "scheduler/picks.hpp"

#include "scheduler/modules.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

constexpr index crowd = 300; ///< Of which not every one is looked at.
static_assert(crowd > limits::explain_candidates_max);

/// A model whose endpoints are as many different devices as there are `sorts`.
class crowd_of {
public:
  explicit crowd_of(std::uint64_t sorts) : state_(core_config{}), sorts_(sorts) {
    for (index place = 0; place < crowd; ++place) {
      endpoint one;
      one.instance = one.device = one.pair = place;
      one.kind = static_cast<std::uint32_t>(place % 5);
      one.seq_max = 4;
      one.active_mw = static_cast<std::uint32_t>(100'000 * (1 + place % sorts % 11));
      one.price_micros = static_cast<std::uint32_t>(1'000'000 * (1 + place % sorts % 13));
      one.kv_max = 8'000;
      one.open = true;
      model_.endpoints.add(one);
      speeds_.emplace_back();
      learn(place, place % sorts_);
    }
  }

  /// One attempt begins or ends, an endpoint closes or opens, or its speed becomes another one.
  void disturb() {
    now_ += static_cast<time_us>(chance_.below(2'000'000));
    if (chance_.below(100) == 0)
      return follow_load();
    const auto place = static_cast<index>(chance_.below(crowd));
    auto& one = model_.endpoints.at(place);
    switch (chance_.below(8)) {
    case 0: one.open = !one.open || chance_.below(2) == 0; break;
    case 1: return learn(place, chance_.below(sorts_));
    case 2:
    case 3:
      if (one.seq_used > 0)
        model_.endpoints.release(place, held, now_);
      break;
    default:
      if (one.seq_used <= one.seq_max)
        model_.endpoints.reserve(place, held, now_);
    }
    model_.endpoints.refresh(place, speeds_[place]);
  }

  /// By a profile, for a request of any size: both ways must find the same.
  void expect_the_least(index number) {
    request_row r;
    const barriers nothing;
    const auto& how = state_.profiles[number];
    question asked{r, how, {}, nothing};
    asked.need.size = {static_cast<std::uint32_t>(1 + chance_.below(4'000)),
                       static_cast<std::uint32_t>(1 + chance_.below(1'000))};
    asked.need.kv_tokens = static_cast<std::int64_t>(chance_.below(4'000));
    asked.now = now_;
    model_.preferred.clear(); // Else a kind may be stayed with.
    const auto found = choose(state_, model_, asked);
    auto least = look_at_all(asked, how, how.pick == pick_kind::slo);
    if (least.start.place == none && how.pick == pick_kind::slo)
      least = look_at_all(asked, state_.profiles[0], false);
    EXPECT_EQ(found.start.place, least.start.place) << how.name.value;
    EXPECT_EQ(found.start.score, least.start.score) << how.name.value;
    // Of those that are full only one that is clearly better is of interest.
    if (how.waits && how.pick == pick_kind::best
        && least.full.score < least.start.score / 1000 * limits::wait_gain_pm
        && least.start.place != none) {
      EXPECT_EQ(found.full.place, least.full.place) << how.name.value;
      ++waited_for;
    }
    ++(found.start.place == none ? nobody : somebody);
  }

  [[nodiscard]] std::uint64_t orders_made(index number) {
    return model_.endpoints.scores_by(number, state_.profiles[number], now_ * 1000).orders_made();
  }
  [[nodiscard]] const std::vector<profile>& profiles() const { return state_.profiles; }
  /// Endpoints that have been looked at one by one.
  [[nodiscard]] std::uint64_t looked() const { return state_.looked; }
  /// One after the other begins an attempt, reads its prompt and ends it.
  void use_all() {
    for (index place = 0; place < crowd; ++place) {
      auto own = held;
      model_.endpoints.reserve(place, own, now_);
      model_.endpoints.refresh(place, speeds_[place]);
      model_.endpoints.first_token(place, own, now_ += 10);
      model_.endpoints.release(place, own, now_ += 10);
      model_.endpoints.refresh(place, speeds_[place]);
    }
  }

  int nobody = 0, somebody = 0, waited_for = 0;

private:
  void follow_load() {
    model_.endpoints.expect({static_cast<std::int64_t>(chance_.below(1'000'000)), 100});
    model_.endpoints.refresh_all(
        [&](index pair) -> const speed_estimate& { return speeds_[pair]; });
  }

  static constexpr reservation held{1, 1'500, 900'000'000, 90'000'000};

  void learn(index place, std::uint64_t sort) {
    prng of_sort(1 + sort);
    auto& speed = speeds_[place];
    speed.first_ns = static_cast<std::uint32_t>(of_sort.below(5'000'000));
    speed.prefill_ns = static_cast<std::uint32_t>(1'000 + of_sort.below(200'000));
    speed.decode_ns = static_cast<std::uint32_t>(1'000'000 + of_sort.below(30'000'000));
    speed.gain_pm = 50;
    ++speed.samples;
    model_.endpoints.refresh(place, speed);
  }

  choice look_at_all(const question& asked, const profile& how, bool in_time) const {
    choice made;
    const auto bounds = slo_of(state_, model_, asked, 0);
    const auto now_ns = now_ * 1000;
    const auto prompt = std::int64_t{asked.need.size.prompt_tokens};
    for (index place = 0; place < crowd; ++place) {
      const auto& pace = model_.endpoints.pace(place);
      const auto& room = model_.endpoints.room(place);
      if (room.seq_free < 0 || room.kv_all < asked.need.kv_least)
        continue;
      const bool fits = startable(room, asked.need);
      const auto blocked_ns = fits ? 0 : room_in(pace);
      const auto first_ns
          = queue_left(pace, now_ns) + pace.first_ns + prompt * pace.prefill_ns + blocked_ns;
      if (in_time && (pace.itl_ns > bounds.itl_ns || first_ns > bounds.ttft_ns))
        continue;
      const auto score = how.at(how.weigh(pace), prompt, asked.need.size.output_tokens, now_ns)
                         + blocked_ns * how.weight(scorer_id::queue);
      (fits ? made.start : made.full).offer(place, score, 0);
    }
    return made;
  }

  core_state state_;
  model_state model_;
  std::uint64_t sorts_;
  prng chance_{11};
  time_us now_ = 1;
  std::vector<speed_estimate> speeds_;
};

TEST(Picks, FindTheLeastOfManyWhateverChanges) {
  for (const std::uint64_t sorts : {std::uint64_t{crowd}, std::uint64_t{4}, std::uint64_t{1}}) {
    crowd_of t(sorts);
    for (int step = 0; step < 1'500 && !::testing::Test::HasFailure(); ++step) {
      t.disturb();
      for (index number = 0; number < t.profiles().size(); ++number) {
        const auto pick = t.profiles()[number].pick;
        if (pick == pick_kind::best || pick == pick_kind::slo)
          t.expect_the_least(number);
      }
    }
    EXPECT_GT(t.somebody, 5'000) << sorts;
    EXPECT_GT(t.waited_for, 0) << sorts;
    if (sorts == crowd) {
      EXPECT_GT(t.orders_made(0), 1U) << "speeds changed";
    }
  }
}

TEST(Picks, LookAtFewOfManyThatAreAlikeAndIdle) {
  crowd_of t(1);
  t.use_all();
  // The second profile has an order to make first, which looks at nobody.
  for (const index number : {0U, 1U}) {
    const auto before = t.looked();
    t.expect_the_least(number);
    EXPECT_GT(t.looked(), before);
    EXPECT_LT(t.looked() - before, crowd / 6) << t.profiles()[number].name.value;
  }
}

TEST(Picks, OrderIsMadeAnewOnceOneLeafInFourHasMovedAndNotBefore) {
  endpoint_table table;
  const auto& how = builtin_profiles().front();
  speed_estimate speed;
  speed.decode_ns = 1'000'000;
  endpoint one;
  one.instance = one.pair = 0;
  one.open = true;
  for (index place = 0; place < crowd; ++place)
    table.refresh(table.add(one), speed);
  EXPECT_EQ(table.scores_by(0, how, 0).orders_made(), 1U);
  const auto relearn = [&](index places, std::uint32_t decode_ns) {
    speed.decode_ns = decode_ns;
    ++speed.samples;
    for (index place = 0; place < places; ++place)
      table.refresh(place, speed);
    return table.scores_by(0, how, 0).orders_made();
  };
  EXPECT_EQ(relearn(crowd, 1'050'000), 1U) << "about as fast as before";
  EXPECT_EQ(relearn(crowd / score_view::order_share - 1, 9'000'000), 1U) << "too few";
  EXPECT_EQ(relearn(crowd / score_view::order_share - 1, 5'000'000), 1U) << "the same ones again";
  EXPECT_EQ(relearn(crowd / score_view::order_share + 1, 3'000'000), 2U);
  // Those that became slow stand at the end now, in order of place, and keep their scores.
  const auto& view = table.scores_by(0, how, 0);
  EXPECT_EQ(view.leaf(0).place, crowd / score_view::order_share + 1);
  for (index at = 0; at < view.size(); ++at)
    EXPECT_EQ(view.leaf(at).score, view.floor_under(view.score(view.leaf(at).place)));
}

} // namespace

} // namespace consort::core
