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
  void serve(const std::string& device, int count, std::optional<std::uint64_t> energy_mj) {
    for (int at = 0; at < count; ++at) {
      auto meta = by("energy");
      meta.selector = device;
      const auto granted = ask(meta);
      pass_time_renewing(second);
      attempt_measurement measured;
      measured.usage = {100, 50, 0};
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

TEST(Energy, ATokensUsualEnergyIsShown) {
  energy_world t;
  t.serve("local/gpu0", 10, 100'000);
  EXPECT_EQ(t.learned_uj(0), 2'000'000U) << "100 J for 50 tokens";
  EXPECT_EQ(t.learned_uj(1), 0U) << "nobody ran there";
}

} // namespace consort::core::testing
