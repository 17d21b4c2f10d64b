// SPDX-License-Identifier: Apache-2.0
// Loads that will not come to anything: who waits for them is told and sent away, in the vendor's
// words, and a request that some device could serve is not.
#include "tests/support/core_fixture.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <map>

namespace consort::core::testing {

using ::testing::HasSubstr;

namespace {

const error too_old{recovery::refuse, "runtime_exited", "FATAL: firmware 1.2 is too old"};
const error exits{recovery::retry_elsewhere, "runtime_exited", "its model server exited with 3"};

/// One CPU on each node, and the story as it is declared by default.
void nodes(core_fixture& t, const std::vector<std::string>& names) {
  t.declare(story_spec());
  for (const auto& name : names) {
    t.join(name, 11);
    t.advertise(cpu_spec(name));
  }
}

/// The next load, which must come, fails so. Returns: where.
std::string fail_next(core_fixture& t, const error& why) {
  t.take_all<queue_notice>();
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  const auto node = load.node.value;
  t.feed(replica_failed{load.instance, t.life_of(node), why});
  t.take_all<unload_replica>();
  EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
  t.take_all<queue_notice>();
  return node;
}

/// Until it ends or loads are no longer tried. Returns: how many failed.
std::uint32_t fail_all(core_fixture& t, const error& why, const std::vector<std::string>& names) {
  std::uint32_t failed = 0;
  for (int steps = 0; steps < 20; ++steps) {
    auto asked = t.take_all<reserve_allocation>();
    for (const auto& one : asked) {
      t.feed(t.reserved(one));
      const auto load = t.take_all<load_replica>().at(0);
      t.feed(replica_failed{load.instance, t.life_of(load.node.value), why});
      ++failed;
    }
    t.take_all<release_allocation>();
    if (asked.empty())
      t.pass_time_renewing(second, names);
  }
  t.take_all<queue_notice>();
  return failed;
}

void refused_twice(core_fixture& t) {
  nodes(t, {"a"});
  t.submit();
  fail_next(t, too_old);
  t.expect_empty();
  t.pass_time_renewing(limits::load_backoff_min_us, {"a"});
  fail_next(t, too_old);
}

} // namespace

TEST(RefusedLoad, EndsWhoWaitsForItInTheVendorsWords) {
  core_fixture t;
  refused_twice(t);
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 422);
  EXPECT_EQ(end.reason.code, "load_refused");
  EXPECT_EQ(end.reason.message,
            "no device can serve 'storyteller' for 'auto': a/cpu0 loads (did "
            "not load it: FATAL: firmware 1.2 is too old); loaded again in 10m, or "
            "at once when the model is declared again (consort model add) or "
            "its plugin changes");
  EXPECT_EQ(t.expect<record_request>().code, "load_refused");
  t.expect_empty();
  // Whoever comes next does not wait at all, and nothing is loaded for it.
  t.submit();
  EXPECT_EQ(t.expect<reject_request>().reason.code, "load_refused");
  t.expect<record_request>();
  EXPECT_TRUE(t.noted("a/cpu0: does not load storyteller"));
}

void expect_degraded(core_fixture& t, const std::string& why) {
  t.drop_all();
  const auto seen = t.view().devices.at(0).reading;
  EXPECT_EQ(seen.health, device_health::degraded);
  EXPECT_EQ(seen.health_reason, why);
}

TEST(RefusedLoad, IsWhyADeviceThatDoesNothingIsDegraded) {
  core_fixture t;
  refused_twice(t);
  expect_degraded(t, "storyteller does not load: " + too_old.message);
}

TEST(BrokenLoads, AreWhyADeviceThatDoesNothingIsDegraded) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  for (std::uint32_t tries = 1; tries < limits::load_tries_max; ++tries) {
    fail_next(t, exits);
    EXPECT_EQ(t.view().devices.at(0).reading.health, device_health::healthy) << tries;
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  fail_next(t, exits);
  expect_degraded(t, "storyteller did not load 3 times in a row: " + exits.message);
}

TEST(RefusedLoad, OfManyDevicesIsToldOnce) {
  core_fixture t;
  const std::vector<std::string> names{"a", "b", "c", "d", "e"};
  nodes(t, names);
  t.submit();
  EXPECT_EQ(fail_all(t, too_old, names), 2 * names.size());
  EXPECT_EQ(
      t.expect<reject_request>().reason.message,
      "no device can serve 'storyteller' for 'auto': a/cpu0, b/cpu0 and 3 others: loads (did "
      "not load it: FATAL: firmware 1.2 is too old); loaded again in 10m, or at once when the "
      "model is declared again (consort model add) or its plugin changes");
  t.expect<record_request>();
}

TEST(RefusedLoad, KeepsSoMuchOfTheVendorsWords) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  const error long_winded{recovery::refuse, "runtime_exited", std::string(100'000, 'x')};
  fail_next(t, long_winded);
  t.pass_time_renewing(limits::load_backoff_min_us, {"a"});
  fail_next(t, long_winded);
  const auto said = t.expect<reject_request>().reason.message;
  EXPECT_LE(static_cast<std::size_t>(std::count(said.begin(), said.end(), 'x')),
            limits::load_error_bytes_max);
  EXPECT_GT(said.size(), limits::load_error_bytes_max / 2);
  t.expect<record_request>();
}

/// The time that docs/OPERATIONS.md names.
TEST(RefusedLoad, IsTriedAgainAfterTheStatedTime) {
  core_fixture t;
  refused_twice(t);
  t.drop_all();
  t.pass_time_renewing(limits::load_bar_us - second, {"a"});
  t.submit();
  EXPECT_EQ(t.expect<reject_request>().reason.code, "load_refused");
  t.expect<record_request>();
  t.pass_time_renewing(second, {"a"});
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

TEST(RefusedLoad, IsTriedAgainWhenModelOrDeviceAreSaidAnew) {
  const std::vector<std::function<void(core_fixture&)>> mends{
      [](auto& t) { t.declare(story_spec()); },
      [](auto& t) {
        auto mended = cpu_spec("a");
        mended.capability.max_sequences = 8;
        t.advertise(mended);
      },
      [](auto& t) { t.join("a", 12), t.advertise(cpu_spec("a")); }};
  for (const auto& mend : mends) {
    core_fixture t;
    refused_twice(t);
    t.drop_all();
    mend(t);
    t.drop_all();
    t.submit();
    t.take_all<queue_notice>();
    t.finish_load();
    t.finish(t.expect<grant_ticket>());
    t.expect<record_request>();
  }
}

TEST(RefusedLoad, OfOneDeviceLeavesTheOthers) {
  core_fixture t;
  nodes(t, {"a", "b"});
  t.submit();
  const auto first = fail_next(t, too_old);
  const auto other = fail_next(t, exits);
  EXPECT_NE(first, other);
  t.pass_time_renewing(limits::load_backoff_min_us, {"a", "b"});
  EXPECT_EQ(fail_next(t, too_old), first);
  // What only broke is asked again, and serves.
  EXPECT_EQ(t.finish_load().node.value, other);
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

/// Two NPUs of one node. The first serves with the engine that the second, of other firmware, will
/// not have: its node cannot drop what is in use.
TEST(UnfitEngine, ThatAnotherDeviceRunsIsNotAskedForAgainAndAgain) {
  const error unfit{recovery::retry_later, "artifact_unfit", "E1201: wrong firmware"};
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.feed(artifact_found{artifact_on("a", engine_key()), t.life_of("a")});
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(npu_spec("a", 0));
  t.finish_load();
  t.advertise(npu_spec("a", 1));
  for (std::uint32_t tries = 0; tries < limits::load_refusals_max; ++tries) {
    EXPECT_EQ(fail_next(t, unfit), "a");
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  t.pass_time_renewing(60 * second, {"a"});
  t.expect_empty();
  EXPECT_TRUE(t.noted("a/npu1: does not load storyteller, and is not asked again for 10m or until "
                      "the model is declared again or its plugin changes: its engine is not built "
                      "anew while a/npu0 has it: E1201: wrong firmware"));
  const auto seen = t.view();
  EXPECT_EQ(seen.devices.at(1).reading.health, device_health::degraded);
  EXPECT_EQ(t.ready_replicas(), 1U) << "the first keeps what it has";
  t.submit("a/npu1");
  EXPECT_THAT(t.expect<reject_request>().reason.message,
              HasSubstr("its engine is not built anew while a/npu0 has it"));
  t.expect<record_request>();
  t.pass_time_renewing(limits::load_bar_us, {"a"});
  EXPECT_FALSE(t.take_all<reserve_allocation>().empty()) << "it is tried again in time";
  t.drop_all();
}

/// Nobody else has it: it was dropped before, and is built anew.
TEST(UnfitEngine, ThatIsGoneIsNoReasonToGiveUp) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  const auto engine = artifact_on("a", engine_key());
  t.feed(artifact_found{engine, t.life_of("a")});
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(npu_spec("a", 0));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  t.feed(artifact_lost{engine.key, engine.content, node_id{"a"}, t.life_of("a"), "stale"});
  t.feed(replica_failed{
      load.instance, t.life_of("a"), {recovery::retry_later, "artifact_unfit", "stale"}});
  EXPECT_EQ(t.take_all<start_compile>().size(), 1U);
  t.drop_all();
  EXPECT_FALSE(t.noted("is not built anew while"));
}

TEST(RefusedLoad, OfOneVariantLeavesTheOthersOfTheModel) {
  core_fixture t;
  t.join("a", 11);
  auto model = story_spec();
  model.variants.push_back(model.variants[0]);
  model.variants[1].format = "safetensors";
  model.variants[1].content = digest{std::string(64, 'e')};
  t.declare(model);
  auto device = cpu_spec("a");
  device.capability.formats = {"gguf", "safetensors"};
  t.advertise(device);
  t.submit();
  fail_next(t, too_old);
  t.pass_time_renewing(limits::load_backoff_min_us, {"a"});
  fail_next(t, too_old);
  t.pass_time_renewing(2 * limits::load_backoff_min_us, {"a"});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().variant.format, "safetensors");
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

/// What runs a former version serves on while the present one is refused, also while it is busy.
TEST(RefusedLoad, OfANewVersionLeavesTheFormerServing) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load(1);
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  auto newer = story_spec();
  newer.variants[0].content = digest{std::string(64, 'f')};
  t.declare(newer);
  for (std::uint32_t tries = 0; tries < limits::load_refusals_max; ++tries) {
    fail_next(t, too_old);
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  t.take_all<queue_notice>();
  for (int requests = 0; requests < 8; ++requests)
    t.submit();
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "they wait for the one that is busy";
  t.drop_all();
  t.finish(running);
  EXPECT_FALSE(t.take_all<grant_ticket>().empty());
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.drop_all();
}

/// Variants are tried in order, each until it is barred.
TEST(RefusedLoad, RemembersSoManyThingsOfOneDevice) {
  core_fixture t;
  t.join("a", 11);
  auto model = story_spec();
  model.variants.clear();
  for (std::size_t at = 0; at < limits::load_bars_max + 1; ++at) {
    model.variants.push_back(story_spec().variants[0]);
    model.variants.back().content = digest{std::string(64, static_cast<char>('0' + at))};
  }
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec("a"));
  std::vector<char> tried;
  for (std::size_t at = 0; at < 2 * limits::load_bars_max + 3; ++at) {
    t.grant_next_allocation();
    const auto load = t.expect<load_replica>();
    tried.push_back(load.variant.content.value.front());
    t.feed(replica_failed{load.instance, t.life_of("a"), too_old});
    t.take_all<release_allocation>();
    t.pass_time_renewing(std::min(limits::load_backoff_min_us << std::min<std::size_t>(at, 10),
                                  limits::load_backoff_max_us),
                         {"a"});
  }
  EXPECT_EQ(tried.at(0), '0');
  EXPECT_EQ(tried.at(1), '0');
  EXPECT_EQ(tried.at(2 * limits::load_bars_max), '6') << "each twice, in order";
  EXPECT_EQ(tried.back(), '0') << "the oldest is forgotten when there are more";
  t.drop_all();
}

TEST(BrokenLoads, EndWhoWaitsAfterSoManyOnEveryDevice) {
  core_fixture t;
  nodes(t, {"a", "b"});
  t.submit();
  EXPECT_EQ(fail_all(t, exits, {"a", "b"}), 2 * limits::load_tries_max);
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 503);
  EXPECT_EQ(end.reason.code, "load_failed");
  EXPECT_EQ(end.reason.message,
            "every device that could serve it failed to load it: a/cpu0 and b/cpu0: 3 times in a "
            "row: its model server exited with 3");
  ASSERT_TRUE(end.retry_after_us);
  EXPECT_GE(*end.retry_after_us, limits::retry_after_min_us);
  EXPECT_LE(*end.retry_after_us, limits::load_backoff_min_us << limits::load_tries_max);
  t.expect<record_request>();
}

/// Retry-After is honest: before, nobody is asked; then one load is tried, and may be the good one.
TEST(BrokenLoads, AreTriedAgainForWhoComesOnceTheyRested) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  for (std::uint32_t tries = 0; tries < limits::load_tries_max; ++tries) {
    fail_next(t, exits);
    if (tries + 1 < limits::load_tries_max)
      t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  const auto after = t.expect<reject_request>().retry_after_us.value_or(0);
  EXPECT_EQ(after, limits::load_backoff_min_us << (limits::load_tries_max - 1));
  t.expect<record_request>();
  t.submit();
  EXPECT_EQ(t.expect<reject_request>().reason.code, "load_failed") << "at once";
  t.expect<record_request>();
  t.pass_time_renewing(after, {"a"});
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

TEST(BrokenLoads, AreWaitedForWhileOneDeviceWasTriedLess) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  fail_next(t, exits);
  t.pass_time_renewing(limits::load_backoff_min_us, {"a"});
  fail_next(t, exits);
  t.join("b", 11);
  t.advertise(cpu_spec("b"));
  std::map<std::string, std::uint32_t> failed{{"a", 2}};
  for (int seconds = 0; failed["a"] < limits::load_tries_max && seconds < 9; ++seconds) {
    for (const auto& asked : t.take_all<reserve_allocation>()) {
      t.feed(t.reserved(asked));
      const auto load = t.take_all<load_replica>().at(0);
      t.feed(replica_failed{load.instance, t.life_of(load.node.value), exits});
      ++failed[load.node.value];
    }
    t.take_all<release_allocation>();
    if (failed["a"] < limits::load_tries_max)
      t.pass_time_renewing(second, {"a", "b"});
  }
  ASSERT_EQ(failed["a"], limits::load_tries_max);
  ASSERT_LT(failed["b"], limits::load_tries_max);
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.pass_time_renewing(2 * second, {"a", "b"});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().node.value, "b");
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

/// What its vendor calls passing is waited for as long as the caller would.
TEST(BrokenLoads, ThatPassAreWaitedFor) {
  core_fixture t;
  nodes(t, {"a"});
  t.submit();
  for (std::uint32_t tries = 0; tries <= limits::load_tries_max; ++tries) {
    fail_next(t, {recovery::retry_later, "runtime_exited", "the licence server is busy"});
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.drop_all();
}

namespace {

/// The one device's only attempt is given back: it waits for another, which is not there.
void lost_its_attempt(core_fixture& t, std::optional<duration_us> wait, std::uint32_t emitted) {
  nodes(t, {"a", "b"});
  auto meta = t.request();
  meta.wait_us = wait;
  meta.resumable = true;
  t.submit(meta);
  t.take_all<queue_notice>();
  t.finish_load();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.fail(granted, recovery::retry_elsewhere, emitted);
  t.drop_all(); // The other's load goes on and on.
}

} // namespace

TEST(Patience, BoundsTheWaitForAnotherAttemptToo) {
  core_fixture t;
  lost_its_attempt(t, 2 * second, 0);
  t.pass_time_renewing(2 * second - 1, {"a", "b"});
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.pass_time(1);
  EXPECT_EQ(t.take_all<reject_request>().at(0).http_status, 502);
  t.drop_all();
}

TEST(Patience, OfNobodyIsAMomentOnceItWasServed) {
  core_fixture t;
  lost_its_attempt(t, second / 10, 0);
  t.pass_time_renewing(limits::retry_wait_us_min - 1, {"a", "b"});
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.pass_time(1);
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U);
  t.drop_all();
}

TEST(Patience, EndsNoStreamThatBegan) {
  core_fixture t;
  lost_its_attempt(t, 2 * second, 5);
  t.pass_time_renewing(4 * second, {"a", "b"});
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.drop_all();
}

} // namespace consort::core::testing
