// SPDX-License-Identifier: Apache-2.0
// Which device is loaded for many, and when one more is loaded for those whom engines hold: nobody
// waits in the queue then, but engines get slower with each.
#include "scheduler/crowds.hpp"
#include "tests/support/core_fixture.hpp"

#include <array>

namespace consort::core::testing {

namespace {

constexpr std::uint32_t sequences = 32;

/// Fast with one, and as slow as many with many: a batch gains nothing.
device_spec alone_fast(duration_us load_us) {
  auto made = cpu_spec("local", 0);
  made.model = "memory";
  made.capability.max_sequences = sequences;
  made.spec.prefill_tokens_per_s = 500;
  made.spec.decode_tokens_per_s = 500;
  made.spec.decode_batch_gain_pm = 1'000;
  made.spec.load_us = load_us;
  return made;
}

/// Several times slower with one, and hardly slower with many.
device_spec fast_with_many(duration_us load_us) {
  auto made = cpu_spec("local", 1);
  made.model = "batches";
  made.capability.max_sequences = sequences;
  made.spec.prefill_tokens_per_s = 20'000;
  made.spec.decode_tokens_per_s = 50;
  made.spec.decode_batch_gain_pm = 10;
  made.spec.load_us = load_us;
  return made;
}

std::vector<std::string> asked_for(core_fixture& t) {
  std::vector<std::string> devices;
  for (const auto& asked : t.take_all<reserve_allocation>())
    devices.push_back(asked.grant.shares.at(0).device.value);
  return devices;
}

void submit_long(core_fixture& t) {
  auto meta = t.request();
  meta.max_tokens = 4'000;
  t.submit(meta);
}

/// The first is loaded and has one request; the second could be loaded, and is not for that.
grant_ticket first_of_two(core_fixture& t, duration_us second_load_us,
                          std::uint32_t replicas_max = 0) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = 8'192;
  model.replicas_max = replicas_max;
  t.declare(model);
  t.advertise(alone_fast(second / 10));
  submit_long(t);
  t.take_all<queue_notice>();
  t.finish_load(sequences);
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.advertise(fast_with_many(second_load_us));
  t.expect_empty();
  return granted;
}

/// One more every 20 ms while nothing is loaded for them. Returns: how many were taken.
std::uint32_t held_until_asked(core_fixture& t, std::vector<std::string>& asked) {
  std::uint32_t held = 1;
  while (held < sequences && asked.empty()) {
    t.pass_time(second / 50);
    t.submit();
    for (const auto& granted : t.take_all<grant_ticket>())
      t.start(granted);
    asked = asked_for(t);
    ++held;
  }
  return held;
}

} // namespace

TEST(Crowds, WhomAnEngineHoldsOneMoreReplicaIsLoadedFor) {
  core_fixture t;
  first_of_two(t, 2 * second);
  std::vector<std::string> asked;
  const auto held = held_until_asked(t, asked);
  EXPECT_EQ(asked, std::vector<std::string>{"local/cpu1"});
  EXPECT_GT(held, 8U) << "few end sooner where they are than a load takes";
  t.drop_all();
}

TEST(Crowds, NothingIsLoadedForThemBeyondTheMaximum) {
  core_fixture t;
  first_of_two(t, 2 * second, 1);
  std::vector<std::string> asked;
  EXPECT_EQ(held_until_asked(t, asked), sequences);
  EXPECT_TRUE(asked.empty());
  t.drop_all();
}

// --- which device is loaded for those who wait ---

/// Both could be loaded from one moment on, at which so many wait.
std::vector<std::string> loaded_for(std::uint32_t waiting) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  t.feed(drain_changed{"local", true, "firmware", 0, hold_kind::cordon});
  t.advertise(alone_fast(second));
  t.advertise(fast_with_many(2 * second));
  for (std::uint32_t each = 0; each < waiting; ++each)
    t.submit();
  EXPECT_TRUE(asked_for(t).empty());
  t.feed(drain_changed{"local", false, "", 0, hold_kind::cordon});
  const auto asked = asked_for(t);
  t.drop_all();
  return asked;
}

TEST(Crowds, ForOneTheDeviceIsLoadedThatEndsItSoonest) {
  EXPECT_EQ(loaded_for(1), std::vector<std::string>{"local/cpu0"});
}

TEST(Crowds, ForManyTheDeviceIsLoadedThatEndsAllOfThemSoonest) {
  const auto asked = loaded_for(30);
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.front(), "local/cpu1") << "the one that is faster alone may follow";
}

// --- a load that takes longer than anybody waits ---

/// A few run all the time, each at about the pace that is predicted of it; one more comes every 3
/// s.
TEST(Crowds, OneThatLastedAsLongAsALoadTakesHasPaidForIt) {
  core_fixture t;
  std::vector<std::pair<grant_ticket, std::uint32_t>> running{{first_of_two(t, 30 * second), 0}};
  const auto began = t.now();
  const auto submit = [&] {
    submit_long(t);
    for (const auto& granted : t.take_all<grant_ticket>()) {
      t.start(granted);
      running.emplace_back(granted, 0);
    }
  };
  for (int each = 0; each < 8; ++each)
    submit();
  std::vector<std::string> asked;
  for (int report = 1; report <= 200 && asked.empty(); ++report) {
    t.pass_time_renewing(limits::report_period_us);
    for (auto& [granted, tokens] : running)
      t.progress(granted, tokens += 8);
    if (report % 12 == 0)
      submit();
    asked = asked_for(t);
  }
  EXPECT_EQ(asked, std::vector<std::string>{"local/cpu1"});
  EXPECT_GE(t.now() - began, 30 * second);
  EXPECT_LE(t.now() - began, 45 * second);
  t.drop_all();
}

// --- how long a crowd takes ---

TEST(Crowds, ACarrierEndsTheFirstThenThoseWithAPlaceThenOthersInTheirTurn) {
  const carrier one{10, 1, 5, 3};
  EXPECT_EQ(one.ends_after(1), 10);
  EXPECT_EQ(one.ends_after(3), 12);
  EXPECT_EQ(one.ends_after(5), 22);
  EXPECT_EQ(one.ended_by(9, 100), 0);
  EXPECT_EQ(one.ended_by(10, 100), 1);
  EXPECT_EQ(one.ended_by(12, 100), 3);
  EXPECT_EQ(one.ended_by(16, 100), 3);
  EXPECT_EQ(one.ended_by(17, 100), 4);
  EXPECT_EQ(one.ended_by(1'000, 4), 4) << "there are no more";
}

TEST(Crowds, AreSharedOutSoThatAllEndSoonest) {
  const std::array<carrier, 2> alike{carrier{100, 10, 10, 64}, carrier{100, 10, 10, 64}};
  EXPECT_GE(time_of(4, alike), 110);
  EXPECT_LE(time_of(4, alike), 110 + 110 / 64 + 2);
}

TEST(Crowds, ForFewAndForManyAnotherOneHelpsMost) {
  const std::array<carrier, 1> there{carrier{100, 100, 100, 64}};
  const std::array<carrier, 2> more{carrier{150, 100, 100, 64}, carrier{200, 1, 1, 64}};
  EXPECT_EQ(best_addition(2, there, more).which, 0U);
  const auto many = best_addition(20, there, more);
  EXPECT_EQ(many.which, 1U);
  EXPECT_GE(many.time_ns, 217);
  EXPECT_LE(many.time_ns, 217 + 217 / 64 + 2);
}

TEST(Crowds, OfTheGreatestNumbersNothingOverflows) {
  constexpr auto longest = term_ns_max * 2;
  constexpr std::int64_t step = 1'000'000'000'000, most = limits::requests_max;
  const std::array<carrier, 1> one{carrier{longest, step, step, most}};
  EXPECT_GT(one[0].ends_after(most), longest);
  EXPECT_EQ(one[0].ended_by(one[0].ends_after(most), most), most);
  EXPECT_GT(time_of(most, one), longest);
}

} // namespace consort::core::testing
