// SPDX-License-Identifier: Apache-2.0
// What operators read in the events: of what is said to begin, the end is said as well, with why.
#include "scheduler/units.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// Of which a CPU of 8 GiB holds one.
model_spec large(const std::string& name) {
  auto made = story_spec(name);
  made.variants[0].weight_bytes = std::uint64_t{5} << 30U;
  return made;
}

/// One CPU, on which the model is loaded for a request that has ended.
void served_once(core_fixture& t, const model_spec& model) {
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(model);
  auto meta = t.request();
  meta.model = model.name;
  t.submit(meta);
  t.take_all<queue_notice>();
  t.finish_load();
  for (const auto& running : t.take_all<grant_ticket>()) {
    t.start(running);
    t.finish(running);
  }
  t.drop_all();
}

TEST(Notes, SayThatAReplicaWasIdleForTooLong) {
  core_fixture t;
  auto model = story_spec();
  model.idle_ttl_us = 60 * second;
  served_once(t, model);
  EXPECT_TRUE(t.noted("local/cpu0: replica of storyteller is ready"));
  EXPECT_FALSE(t.noted("unloads"));
  t.pass_time_renewing(model.idle_ttl_us + second);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_EQ(t.noted_times("local/cpu0: unloads replica of storyteller: idle for "
                          + format_duration(model.idle_ttl_us)),
            1U);
  t.drop_all();
}

TEST(Notes, SayForWhomAReplicaMakesRoom) {
  core_fixture t;
  served_once(t, large("tales"));
  t.declare(large("storyteller"));
  t.submit();
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_EQ(t.noted_times("local/cpu0: unloads replica of tales: makes room for storyteller"), 1U);
  t.drop_all();
}

TEST(Notes, SayThatAModelWasRemovedOrReplaced) {
  for (const bool removed : {true, false}) {
    core_fixture t;
    served_once(t, story_spec());
    auto newer = story_spec();
    newer.variants[0].content = digest{std::string(64, 'b')};
    newer.devices_per_instance = 2;
    if (removed)
      t.feed(model_removed{newer.name});
    else
      t.declare(newer);
    EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
    EXPECT_TRUE(t.noted(std::string("local/cpu0: unloads replica of storyteller: the model was ")
                        + (removed ? "removed" : "declared anew")));
    t.drop_all();
  }
}

TEST(Notes, SayThatALoadIsGivenUp) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.grant_next_allocation();
  t.expect<load_replica>();
  t.feed(model_removed{model.name});
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_TRUE(t.noted("local/cpu0: stops loading storyteller: the model was removed"));
  EXPECT_FALSE(t.noted("unloads"));
  t.drop_all();
}

/// Until its breaker is open.
void broken(core_fixture& t) {
  for (std::uint32_t each = 0; each < limits::breaker_failures; ++each) {
    t.submit();
    t.fail(t.expect<grant_ticket>());
    t.drop_all();
  }
  ASSERT_TRUE(t.noted("local/cpu0: circuit breaker opened for storyteller: it broke"));
  ASSERT_FALSE(t.noted("circuit breaker closed"));
}

TEST(Notes, SayThatABreakerClosed) {
  core_fixture t;
  served_once(t, story_spec());
  broken(t);
  t.submit();
  t.pass_time(limits::breaker_open_min_us);
  const auto probes = t.take_all<grant_ticket>();
  ASSERT_EQ(probes.size(), 1U);
  t.start(probes[0]);
  EXPECT_FALSE(t.noted("circuit breaker closed"));
  t.finish(probes[0]);
  EXPECT_EQ(t.noted_times("local/cpu0: circuit breaker closed for storyteller: an attempt ended "
                          "well there"),
            1U);
  t.drop_all();
}

TEST(Notes, SayThatABreakerClosedForAnotherProcess) {
  core_fixture t;
  served_once(t, story_spec());
  broken(t);
  t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
  t.drop_all();
  t.join("local", 2);
  EXPECT_TRUE(t.noted("local/cpu0: circuit breaker closed for storyteller: another process answers "
                      "for it now"));
  t.drop_all();
}

TEST(Breakers, AreToldOnceWhateverNamesTheirModelHas) {
  core_fixture t;
  auto model = story_spec();
  model.aliases = {model_name{"default"}, model_name{"tales"}};
  served_once(t, model);
  broken(t);
  const auto why = t.view().devices.at(0).reading.health_reason;
  EXPECT_EQ(why.rfind("the breaker for storyteller on local/cpu0 is open", 0), 0U) << why;
  EXPECT_EQ(why.find("the breaker", 1), std::string::npos) << why;
  t.drop_all();
}

TEST(Breakers, OfADeviceTheWorstIsShown) {
  core_fixture t;
  served_once(t, story_spec());
  broken(t);
  t.pass_time(limits::breaker_open_min_us);
  t.drop_all();
  EXPECT_EQ(t.view().devices.at(0).breaker, "half-open");
  auto other = story_spec("anna"); // Before it in order of name.
  other.replicas_min = 1;
  t.declare(other);
  t.finish_load();
  t.drop_all();
  for (std::uint32_t each = 0; each < limits::breaker_failures; ++each) {
    auto meta = t.request();
    meta.model = other.name;
    t.submit(meta);
    t.fail(t.expect<grant_ticket>());
    t.drop_all();
  }
  EXPECT_EQ(t.view().devices.at(0).breaker, "open");
}

/// An engine that dies may open it too.
TEST(Notes, SayThatABreakerOpenedOfWhatDied) {
  core_fixture t;
  auto model = story_spec();
  model.replicas_min = 1;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(model);
  for (std::uint32_t each = 0; each < limits::breaker_failures; ++each) {
    const auto load = t.finish_load();
    t.feed(replica_failed{load.instance,
                          t.life_of("local"),
                          {recovery::retry_elsewhere, "runtime_died", "it went away"}});
    t.take_all<release_allocation>();
    t.pass_time_renewing(limits::load_backoff_min_us);
  }
  EXPECT_EQ(t.noted_times("local/cpu0: circuit breaker opened for storyteller: it went away"), 1U);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
