// SPDX-License-Identifier: Apache-2.0
// One request from submission to record, and what a compile on miss looks like from outside.
#include "scheduler/state.hpp"
#include "tests/support/core_fixture.hpp"

#include <gmock/gmock.h>

namespace consort::core::testing {

namespace {

using ::testing::HasSubstr;

TEST(Serving, RequestLoadsTheModelAndGetsATicket) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(story_spec());
  const auto id = t.submit();
  const auto asked = t.expect<reserve_allocation>();
  EXPECT_EQ(asked.grant.shares.size(), 1U);
  const auto notice = t.expect<queue_notice>();
  EXPECT_EQ(notice.state, "loading");
  EXPECT_EQ(notice.position, 1U);
  EXPECT_TRUE(notice.eta_us);
  t.feed(t.reserved(asked));
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.model.value, "storyteller");
  EXPECT_FALSE(load.artifact);
  t.loaded(load);
  const auto ticket = t.expect<grant_ticket>();
  EXPECT_EQ(ticket.granted.attempt, (attempt_id{id, 1}));
  EXPECT_EQ(ticket.granted.device.value, "local/cpu0");
  EXPECT_EQ(ticket.granted.instance, load.instance);
  EXPECT_FALSE(ticket.resumed);
  t.start(ticket);
  t.progress(ticket, 10);
  t.finish(ticket);
  const auto record = t.expect<record_request>();
  EXPECT_EQ(record.outcome, request_outcome::finished);
  EXPECT_EQ(record.attempts, 1U);
  EXPECT_EQ(record.usage.completion_tokens, 50U);
}

TEST(Serving, FiftyRequestsAndTwoDevicesMakeOneCompile) {
  core_fixture t;
  t.example();
  for (int i = 0; i < 50; ++i)
    t.submit("npu");
  const auto compiles = t.take_all<start_compile>();
  ASSERT_EQ(compiles.size(), 1U);
  EXPECT_EQ(t.take_all<queue_notice>().back().state, "compiling");
  t.expect_empty();
  t.compiled(compiles[0]);
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 2U);
  for (const auto& one : asked)
    t.feed(t.reserved(one));
  const auto loads = t.take_all<load_replica>();
  ASSERT_EQ(loads.size(), 2U);
  for (const auto& load : loads) {
    ASSERT_TRUE(load.artifact);
    EXPECT_EQ(load.artifact->content.value, std::string(64, 'c'));
    t.loaded(load);
  }
  EXPECT_GE(t.take_all<grant_ticket>().size(), 8U);
  EXPECT_TRUE(t.take_all<start_compile>().empty());
  EXPECT_EQ(t.view().counters.builds_started, 1U);
  t.drop_all();
}

TEST(Serving, AutoIsServedByTheCpuWhileTheNpuIsCompiledFor) {
  core_fixture t;
  t.example();
  t.submit();
  const auto compiles = t.take_all<start_compile>();
  ASSERT_EQ(compiles.size(), 1U);
  t.expect<reserve_allocation>();
  t.drop_all();
  const auto view = t.view();
  ASSERT_EQ(view.replicas.size(), 1U);
  EXPECT_EQ(view.replicas[0].leader.value, "local/cpu0");
}

TEST(Serving, BothNpusLoadTheArtifactInTheBackground) {
  core_fixture t;
  t.example();
  t.submit();
  const auto compile = t.take_all<start_compile>().at(0);
  t.take_all<queue_notice>();
  t.finish_load();
  const auto ticket = t.expect<grant_ticket>();
  EXPECT_EQ(ticket.granted.device.value, "local/cpu0");
  t.finish(ticket);
  t.expect<record_request>();
  t.compiled(compile);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 2U);
}

TEST(Serving, NowOrNeverIsToldStateAndEta) {
  core_fixture t;
  t.example();
  auto meta = t.request("npu");
  meta.wait_us = 0;
  t.submit(meta);
  EXPECT_EQ(t.take_all<start_compile>().size(), 1U);
  t.take_all<queue_notice>();
  const auto reject = t.expect<reject_request>();
  EXPECT_EQ(reject.http_status, 503);
  EXPECT_EQ(reject.state, "compiling");
  EXPECT_GT(reject.eta_us.value_or(0), 0);
  EXPECT_GT(reject.retry_after_us.value_or(0), 0);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::rejected);
}

TEST(Serving, ArtifactFoundAtStartBuildsNothing) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  const auto record = artifact_on("local", engine_key());
  t.feed(artifact_found{record, incarnation{1}});
  t.advertise(npu_spec());
  t.declare(story_spec());
  t.submit("npu");
  EXPECT_EQ(t.take_all<queue_notice>().at(0).state, "loading");
  const auto load = t.finish_load();
  EXPECT_EQ(load.artifact->content, record.content);
  t.expect<grant_ticket>();
}

TEST(Serving, UnknownModelIsRejectedWithTheNearestName) {
  core_fixture t;
  t.example();
  auto meta = t.request();
  meta.model = model_name{"storyteler"};
  t.submit(meta);
  const auto reject = t.expect<reject_request>();
  EXPECT_EQ(reject.http_status, 404);
  EXPECT_THAT(reject.reason.message, HasSubstr("did you mean storyteller"));
  t.expect<record_request>();
}

TEST(Serving, ARefusalAtTheDoorIsExplainedAsWell) {
  core_fixture t;
  t.example();
  auto meta = t.request();
  meta.model = model_name{"storyteler"};
  t.submit(meta);
  const auto reject = t.expect<reject_request>();
  t.expect<record_request>();
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->outcome, "rejected");
  EXPECT_EQ(told->request.model.value, "storyteler");
  ASSERT_EQ(told->decisions.size(), 1U);
  EXPECT_EQ(told->decisions[0].outcome, "rejected");
  EXPECT_EQ(told->decisions[0].reason, reject.reason.message);
}

/// Without a compiler.
TEST(Serving, ImpossibleDeviceNamesTheFilterOfEach) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.advertise(npu_spec());
  t.declare(story_spec());
  t.submit("npu");
  const auto reject = t.expect<reject_request>();
  EXPECT_EQ(reject.http_status, 422);
  for (const char* part : {"': local/npu0 artifact", "; 1 other is not asked for"})
    EXPECT_THAT(reject.reason.message, HasSubstr(part));
  t.expect<record_request>();
}

TEST(Serving, ASelectorThatNamesNobodyIsToldWhatItMayHaveMeant) {
  core_fixture t;
  t.example();
  const std::pair<const char*, const char*> cases[]
      = {{"npu1", "no device matches it (did you mean local/npu1?)"},
         {"local/npu9", "no device matches it (did you mean local/npu0, local/npu1"},
         {"vendor=referense", "no device matches it (did you mean vendor=reference"},
         {"npuu", "no device matches it (did you mean npu"},
         {"node=locl", "no device matches it (did you mean node=local?)"},
         {"zzzzzz", "for 'zzzzzz': no device matches it"}};
  for (const auto& [selector, words] : cases) {
    t.submit(selector);
    const auto reject = t.expect<reject_request>();
    EXPECT_EQ(reject.http_status, 422);
    EXPECT_EQ(reject.reason.code, "no_such_device");
    EXPECT_THAT(reject.reason.message, HasSubstr(words));
    EXPECT_EQ(reject.reason.message.find("not asked for"), std::string::npos);
    t.expect<record_request>();
  }
}

/// A model that only some server has by that name.
model_spec server_model(const std::string& name) {
  auto made = story_spec(name);
  made.variants[0].format = "server/" + name;
  made.variants[0].source = "server:" + name;
  return made;
}

TEST(Serving, AModelOfAServerThatNoPluginListsSaysWhereToPutIt) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(server_model("other"));
  EXPECT_TRUE(t.noted("other: no plugin lists it: put `server/other` in `formats` of the one whose "
                      "server has it, then `consort plugins reload`"));
  auto meta = t.request();
  meta.model = model_name{"other"};
  t.submit(meta);
  EXPECT_THAT(t.expect<reject_request>().reason.message,
              HasSubstr("local/cpu0 format (its plugin does not list it: put `server/other` in "
                        "`formats` if its server has it)"));
  t.expect<record_request>();
}

TEST(Serving, AModelOfAServerThatIsListedIsNoCauseForWarning) {
  core_fixture t;
  t.join("local");
  auto remote = cpu_spec();
  remote.capability.formats = {"server/*"};
  t.advertise(remote);
  t.declare(server_model("other"));
  EXPECT_FALSE(t.noted("no plugin lists it"));
}

/// As a folder on its server's host, which is built there first.
TEST(Serving, AModelOfAServerThatACompilerReadsIsNoCauseForWarning) {
  for (const auto* reads : {"server/*", "gguf"}) {
    core_fixture t;
    t.join("local");
    auto board = npu_spec();
    board.capability.build_profiles[0].reads = {reads};
    t.advertise(board);
    t.declare(server_model("/models/checkpoint"));
    EXPECT_EQ(t.noted("no plugin lists it"), reads == std::string("gguf"));
  }
}

TEST(Serving, LargeClusterIsLookedAtAtAPace) {
  core_fixture t;
  t.pass_time(second);
  for (std::size_t n = 0; n * 64 < limits::paced_devices; ++n) {
    const auto node = "n" + std::to_string(n);
    t.join(node);
    for (int d = 0; d < 64; ++d)
      t.advertise(npu_spec(node, d)); // Runs nothing: its artifact is nowhere built.
  }
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.expect_empty();
  t.advertise(cpu_spec("n0", 70));
  t.expect_empty();
  t.pass_time(limits::pace_us);
  EXPECT_EQ(t.expect<reserve_allocation>().grant.shares.at(0).device.value, "n0/cpu70");
  // What may be out of date makes nothing impossible.
  t.advertise(cpu_spec("n0", 71));
  t.submit("n0/cpu71");
  EXPECT_FALSE(t.take_all<queue_notice>().empty());
  t.take_all<reserve_allocation>();
}

TEST(Serving, AVeryLargeClusterIsLookedAtLessOften) {
  core tested{core_config{}};
  std::vector<command> out;
  time_us now = second;
  const auto feed = [&](const event& happened) { tested.step(happened, now, out); };
  for (std::size_t n = 0; n < 2 * pace_devices; ++n) {
    const auto node = "n" + std::to_string(n / 200);
    if (n % 200 == 0)
      feed(node_joined{node_id{node}, incarnation{1}, "10.0.0.1:1", {}, {}});
    feed(device_advertised{npu_spec(node, static_cast<int>(n % 200)), incarnation{1}});
  }
  auto model = story_spec();
  model.replicas_min = 1;
  feed(model_declared{model});
  feed(device_advertised{cpu_spec("n0", 900), incarnation{1}});
  const auto asked = [&] {
    return std::any_of(out.begin(), out.end(), [](const command& one) {
      return std::holds_alternative<reserve_allocation>(one);
    });
  };
  now += 2 * limits::pace_us - 1;
  feed(tick{});
  EXPECT_FALSE(asked()) << "twice as many devices as one pace is for";
  now += limits::pace_us / 10;
  feed(tick{});
  EXPECT_TRUE(asked());
}

TEST(Serving, WithoutAnyNodeARequestWaitsUntilItsQueueTimeout) {
  core_fixture t;
  t.declare(story_spec());
  t.submit();
  EXPECT_EQ(t.expect<queue_notice>().state, "queued");
  t.pass_time(limits::queue_timeout_us);
  EXPECT_EQ(t.expect<reject_request>().http_status, 503);
  t.expect<record_request>();
}

/// Nobody knows how long the first load of a model takes: one that is late is no reason for others
/// of the same model for the same request, until it is very late.
TEST(Serving, OneRequestHasOneLoadAlthoughThatIsLate) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec("local", 0));
  t.advertise(cpu_spec("local", 1));
  t.declare(story_spec());
  t.submit();
  t.grant_next_allocation();
  t.drop_all();
  t.pass_time_renewing(limits::starvation_us);
  t.advertise(cpu_spec("local", 2)); // Everybody looks again.
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.pass_time_renewing(2 * second);
  t.advertise(cpu_spec("local", 3));
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

// --- embeddings, which one of two devices makes ---

/// `local/cpu0` is faster and makes none.
void embedding_beside_faster(core_fixture& t) {
  t.join("local");
  auto faster = cpu_spec("local", 0);
  faster.spec.prefill_tokens_per_s = 20'000;
  faster.spec.decode_tokens_per_s = 1'000;
  t.advertise(faster);
  auto makes_them = cpu_spec("local", 1);
  makes_them.capability.runtime.embeddings = true;
  t.advertise(makes_them);
  t.declare(story_spec());
}

request_meta embedding(core_fixture& t) {
  auto meta = t.request();
  meta.kind = request_kind::embedding;
  return meta;
}

/// The devices that the model is to be loaded on.
std::vector<std::string> asked_for(core_fixture& t) {
  std::vector<std::string> devices;
  for (const auto& asked : t.take_all<reserve_allocation>())
    devices.push_back(asked.grant.shares.at(0).device.value);
  return devices;
}

TEST(Embeddings, HaveTheModelLoadedWhereTheyAreMade) {
  core_fixture t;
  embedding_beside_faster(t);
  t.submit(embedding(t));
  const auto asked = asked_for(t);
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.front(), "local/cpu1") << "the faster one is warmed up for text, later";
  t.drop_all();
}

TEST(Embeddings, AreNotServedByAReplicaThatMakesNone) {
  core_fixture t;
  embedding_beside_faster(t);
  t.submit("local/cpu0");
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  t.finish(t.expect<grant_ticket>());
  t.drop_all();
  t.submit(embedding(t));
  const auto notice = t.take_all<queue_notice>();
  ASSERT_EQ(notice.size(), 1U);
  EXPECT_EQ(notice[0].state, "loading");
  t.finish_load();
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu1");
}

TEST(Embeddings, ThatWaitHoldUpNobodyWhomAnotherDeviceServes) {
  core_fixture t;
  embedding_beside_faster(t);
  t.submit("local/cpu0");
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  t.finish(t.expect<grant_ticket>());
  for (std::size_t each = 0; each < limits::lane_bypass_max + 2; ++each)
    t.submit(embedding(t));
  t.pass_time_renewing(limits::starvation_us + second);
  t.drop_all();
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U) << "whether they starve or not";
  EXPECT_EQ(granted[0].granted.device.value, "local/cpu0");
  t.drop_all();
}

/// One waits that its device failed, another for embeddings; whoever comes behind is served where
/// neither may be.
TEST(Embeddings, ThatAreBlockedHideNobodyBehindOneThatWasFailed) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  auto makes_them = cpu_spec("local", 1);
  makes_them.capability.runtime.embeddings = true;
  for (const auto& device : {cpu_spec("local", 0), makes_them}) {
    t.advertise(device);
    t.finish_load(1);
  }
  t.submit("local/cpu1");
  t.submit("local/cpu1"); // One in its backlog.
  ASSERT_EQ(t.take_all<grant_ticket>().size(), 2U);
  t.submit();
  const auto failed = t.expect<grant_ticket>();
  EXPECT_EQ(failed.granted.device.value, "local/cpu0");
  t.fail(failed);
  t.submit(embedding(t));
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].granted.device.value, "local/cpu0");
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
