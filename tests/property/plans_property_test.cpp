// SPDX-License-Identifier: Apache-2.0
// Conservation where attempts hold reservations at three devices: members die, are held, fail their
// attempts and come back as a seed draws it; the core's invariants are checked after every event,
// and in the end nothing is held anywhere and every request has ended once.
#include "tests/support/core_fixture.hpp"

#include "scheduler/prng.hpp"

#include <map>
#include <set>

namespace consort::core::testing {

namespace {

constexpr int plan_actions = 400;

class plan_world : public core_fixture {
public:
  explicit plan_world(std::uint64_t seed) : core_fixture(config_of(seed)), chance_(seed) {
    auto model = story_spec();
    model.variants[0].context_tokens = 0;
    model.replicas_min = 5;
    declare(model);
    for (const auto& [node, devices] : devices_of())
      come(node);
    obey();
  }

  void act() {
    switch (chance_.below(12)) {
    case 0:
    case 1:
    case 2: return ask();
    case 3:
    case 4: return advance_one();
    case 5:
    case 6: return end_one();
    case 7: return hold_one();
    case 8: return chance_.below(4) == 0 ? lose_one() : come_back();
    case 9: return come_back();
    default: return wait();
    }
  }

  /// All are back, nothing is held, and what runs ends.
  void heal() {
    const auto held = held_;
    for (const auto& target : held)
      tell(drain_changed{target, false, ""});
    for (int round = 0; round < 400 && !live_.empty(); ++round) {
      come_back();
      while (!running_.empty())
        end(running_.begin()->second, true);
      wait();
    }
  }

  [[nodiscard]] bool all_ended() const { return live_.empty(); }
  [[nodiscard]] int by_plans() const { return by_plans_; }

private:
  static core_config config_of(std::uint64_t seed) {
    auto config = quiet();
    config.seed = seed;
    return config;
  }
  static device_spec device(const std::string& node, resource_type type, std::uint64_t prefill,
                            std::uint64_t decode, std::uint32_t sequences) {
    auto made = cpu_spec(node);
    made.id = device_id{node + (type == resource_type::gpu ? "/gpu0" : "/pim0")};
    made.type = type;
    made.model = type == resource_type::gpu ? "reader" : "writer";
    made.capability.max_sequences = sequences;
    made.spec.prefill_tokens_per_s = prefill;
    made.spec.decode_tokens_per_s = decode;
    return made;
  }
  /// Two plans share the reader.
  static device_spec plan(int number, const std::string& decode) {
    auto made = cpu_spec("p", number);
    made.id = device_id{"p/hybrid" + std::to_string(number)};
    made.type = resource_type::hybrid;
    made.model = "pair";
    made.memory_bytes = 0;
    made.capability.max_sequences = 8;
    made.stages = {device_id{"a/gpu0"}, device_id{decode}, 0, 1'000};
    return made;
  }
  static std::map<std::string, std::vector<device_spec>> devices_of() {
    return {{"a", {device("a", resource_type::gpu, 20'000, 20, 6)}},
            {"b", {device("b", resource_type::pim, 300, 200, 3)}},
            {"c", {device("c", resource_type::pim, 300, 150, 2)}},
            {"p", {plan(0, "b/pim0"), plan(1, "c/pim0")}}};
  }

  /// Feeds it and does what is asked.
  void tell(const event& happened) {
    feed(happened);
    obey();
  }
  void obey() {
    bool more = true;
    while (more && !::testing::Test::HasFatalFailure()) {
      more = false;
      take_all<grant_lease>();
      for (const auto& asked : take_all<reserve_allocation>()) {
        more = true;
        feed(reserved(asked));
      }
      for (const auto& load : take_all<load_replica>()) {
        more = true;
        const auto& device = load.grant.shares.front().device.value;
        loaded(load, device == "a/gpu0" ? 6 : device == "b/pim0" ? 3 : 8, 20'000);
      }
      for (const auto& order : take_all<unload_replica>()) {
        more = true;
        feed(replica_unloaded{order.instance, life_of(order.node.value)});
      }
    }
    for (const auto& fenced : take_all<fence_node>())
      away_.insert(fenced.node.value);
    for (const auto& dropped : take_all<drop_attempt>())
      running_.erase(dropped.attempt);
    for (const auto& granted : take_all<grant_ticket>()) {
      by_plans_ += granted.granted.device.value.starts_with("p/") ? 1 : 0;
      running_[granted.granted.attempt] = granted;
    }
    for (const auto& ended : take_all<record_request>()) {
      EXPECT_EQ(live_.erase(ended.request), 1U) << "it ended twice";
      std::erase_if(running_, [&](const auto& one) { return one.first.request == ended.request; });
    }
    drop_all();
  }

  void ask() {
    auto meta = request();
    meta.prompt_tokens = static_cast<std::uint32_t>(1 + chance_.below(3'000));
    meta.max_tokens = static_cast<std::uint32_t>(1 + chance_.below(300));
    meta.choices = chance_.below(8) == 0 ? 2 : 1;
    meta.hedge = chance_.below(3) == 0;
    meta.priority = static_cast<priority_class>(chance_.below(3));
    live_.insert(meta.id);
    tell(request_submitted{meta});
  }
  std::optional<grant_ticket> some_attempt() {
    if (running_.empty())
      return std::nullopt;
    auto at = running_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(chance_.below(running_.size())));
    return at->second;
  }
  void advance_one() {
    const auto one = some_attempt();
    if (!one)
      return ask();
    tell(attempt_started{one->granted.attempt});
    if (chance_.below(3) != 0)
      tell(attempt_progressed{one->granted.attempt, static_cast<std::uint32_t>(chance_.below(9))});
  }
  void end_one() {
    const auto one = some_attempt();
    if (!one)
      return ask();
    if (chance_.below(6) == 0) {
      const auto request = one->granted.attempt.request;
      return tell(request_cancelled{request, "left"});
    }
    end(*one, chance_.below(4) != 0);
  }
  void end(const grant_ticket& one, bool well) {
    const auto attempt = one.granted.attempt;
    running_.erase(attempt);
    attempt_measurement measured;
    measured.usage = {static_cast<std::uint32_t>(1 + chance_.below(3'000)), 20, 0};
    measured.first_token_us = static_cast<duration_us>(1'000 + chance_.below(second));
    measured.total_us = measured.first_token_us + second;
    measured.batch = 1;
    if (well)
      return tell(attempt_finished{attempt, measured});
    tell(attempt_failed{attempt,
                        {recovery::retry_elsewhere, "engine", "it broke"},
                        static_cast<std::uint32_t>(chance_.below(3)),
                        chance_.below(2) == 0});
  }
  void hold_one() {
    const std::vector<std::string> targets{"a", "b/pim0", "c", "p/hybrid0", "a/gpu0"};
    const auto& target = targets[chance_.below(targets.size())];
    const bool holds = chance_.below(3) == 0;
    holds ? (void)held_.insert(target) : (void)held_.erase(target);
    tell(drain_changed{target, holds, "", static_cast<duration_us>(chance_.below(2)) * second,
                       holds && chance_.below(2) == 0 ? hold_kind::cordon : hold_kind::any});
  }
  void lose_one() {
    const std::string node(1, "abcp"[chance_.below(4)]);
    away_.insert(node);
    tell(node_lost{node_id{node}, life_of(node), true, "killed"});
  }
  void come_back() {
    const auto away = std::exchange(away_, {});
    for (const auto& node : away)
      come(node);
    obey();
  }
  void come(const std::string& node) {
    set_life(node, ++lives_given_);
    feed(node_joined{node_id{node}, life_of(node), node + ":1", {}, {}});
    const auto devices = devices_of();
    for (const auto& one : devices.at(node))
      advertise(one);
  }
  void wait() {
    pass_time(static_cast<duration_us>(chance_.below(second)));
    for (const auto& [node, devices] : devices_of())
      if (!away_.contains(node))
        feed(lease_renewed{node_id{node}, life_of(node)});
    obey();
  }

  prng chance_;
  std::uint64_t lives_given_ = 0;
  std::set<std::string> away_, held_;
  std::map<attempt_id, grant_ticket> running_;
  std::set<request_id> live_;
  int by_plans_ = 0;
};

class PlansProperty : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(PlansProperty, GiveBackWhatTheyHold) {
  int by_plans = 0;
  for (std::uint64_t round = 0; round < 10; ++round) {
    plan_world world(GetParam() * 1'000 + round);
    for (int at = 0; at < plan_actions && !HasFatalFailure(); ++at)
      world.act();
    world.heal();
    ASSERT_TRUE(world.all_ended()) << "seed " << GetParam() * 1'000 + round;
    for (const auto& one : world.view().replicas) {
      EXPECT_EQ(one.kv_tokens_reserved, 0U) << one.leader.value;
      EXPECT_EQ(one.running, 0U) << one.leader.value;
    }
    by_plans += world.by_plans();
  }
  EXPECT_GT(by_plans, 50) << "or it shows nothing";
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlansProperty, ::testing::Range<std::uint64_t>(1, 7));

} // namespace

} // namespace consort::core::testing
