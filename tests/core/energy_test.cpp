// SPDX-License-Identifier: Apache-2.0
// What the core learns of the energy that attempts were charged, and what it does about it.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

/// Two devices that are equally fast. By their sheets the first draws 40 W above idle power, the
/// second 60 W.
std::vector<device_spec> twins() {
  std::vector<device_spec> made;
  for (int number = 0; number < 2; ++number) {
    auto one = fast_spec();
    one.id = device_id{"local/gpu" + std::to_string(number)};
    one.model = "twin" + std::to_string(number);
    one.spec.idle_mw = 20'000;
    one.spec.tdp_mw = number == 0 ? 60'000 : 80'000;
    made.push_back(one);
  }
  return made;
}

class energy_world : public loaded_cluster {
public:
  energy_world() : loaded_cluster(twins()) {}

  /// Attempts one after the other on the device, each of a second and 50 tokens.
  void serve(const std::string& device, int count, std::optional<std::uint64_t> energy_mj,
             std::uint32_t choices = 1) {
    for (int at = 0; at < count; ++at) {
      auto meta = by("energy");
      meta.selector = device;
      meta.choices = choices;
      const auto granted = ask(meta);
      pass_time_renewing(second);
      attempt_measurement measured;
      measured.usage = {100, 50 * choices, 0};
      measured.first_token_us = 20'000;
      measured.total_us = second;
      measured.batch = 1;
      measured.energy_mj = energy_mj;
      feed(attempt_finished{granted.granted.attempt, measured});
      drop_all();
    }
  }
  std::string choice() {
    const auto granted = ask(by("energy"));
    fail(granted, recovery::refuse, 0, false);
    drop_all();
    return granted.granted.device.value;
  }
  [[nodiscard]] std::uint64_t learned_uj(std::size_t replica) const {
    return view().replicas.at(replica).energy_uj_per_token;
  }
};

} // namespace

TEST(Energy, PolicyFollowsWhatAttemptsWereCharged) {
  energy_world t;
  EXPECT_EQ(t.choice(), "local/gpu0") << "40 W against 60 W, as the sheets say";
  t.serve("local/gpu0", 10, 160'000);
  EXPECT_EQ(t.choice(), "local/gpu1") << "it drew 160 W";
  t.serve("local/gpu1", 10, 240'000);
  EXPECT_EQ(t.choice(), "local/gpu0") << "and the other 240 W";
}

TEST(Energy, UnknownEnergyTeachesNothing) {
  energy_world t;
  t.serve("local/gpu0", 10, std::nullopt);
  EXPECT_EQ(t.choice(), "local/gpu0");
  EXPECT_EQ(t.learned_uj(0), 0U) << "unknown";
}

/// The meter is shared among attempts, however many sequences each is.
TEST(Energy, ARequestOfSeveralChoicesDrawsWhatItsDeviceDraws) {
  energy_world t;
  t.serve("local/gpu0", 20, 40'000, 4);
  EXPECT_EQ(t.choice(), "local/gpu0") << "40 W, as its sheet says";
}

TEST(Energy, StrangersAreNoSharersOfTheMeter) {
  energy_world t;
  device_reported said;
  said.device = device_id{"local/gpu0"};
  said.life = t.life_of("local");
  capacity_vector capacity;
  capacity.foreign_sequences.value = 7;
  for (const auto& replica : t.view().replicas)
    said.endpoints.emplace_back(replica.instance, capacity);
  t.feed(said);
  t.serve("local/gpu0", 20, 40'000);
  capacity.foreign_sequences.value = 0;
  for (auto& [instance, read] : said.endpoints)
    read = capacity;
  t.feed(said);
  EXPECT_EQ(t.choice(), "local/gpu0");
}

TEST(Energy, ACorrectedSheetLeavesTheWattsThatWereLearned) {
  energy_world t;
  t.serve("local/gpu0", 10, 20'000);
  t.serve("local/gpu1", 10, 15'000);
  EXPECT_EQ(t.choice(), "local/gpu1") << "20 W against 15 W";
  auto corrected = twins()[0];
  corrected.spec.tdp_mw = corrected.spec.idle_mw + 20'000;
  t.advertise(corrected);
  t.drop_all();
  EXPECT_EQ(t.choice(), "local/gpu1") << "20 W still, not half of it";
}

TEST(Energy, PowerIsReckonedUpToItsBounds) {
  power_estimate power;
  attempt_measurement measured;
  measured.usage = {100, 50, 0};
  measured.batch = 1;
  measured.total_us = measured.first_token_us = 24 * 3'600 * second;
  measured.energy_mj = 1'000'000'000'000;
  learn_power(power, measured, limits::power_mw_max, 16);
  EXPECT_EQ(power.samples, 1U);
  EXPECT_EQ(power.learned_pm, 11U) << "11.6 kW in the mean, of a MW";
}

TEST(Energy, ATokensUsualEnergyIsShown) {
  energy_world t;
  t.serve("local/gpu0", 10, 100'000);
  EXPECT_EQ(t.learned_uj(0), 2'000'000U) << "100 J for 50 tokens";
  EXPECT_EQ(t.learned_uj(1), 0U) << "nobody ran there";
}

} // namespace consort::core::testing
