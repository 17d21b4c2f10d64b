// SPDX-License-Identifier: Apache-2.0
// Weights of elsewhere: one node fetches them, the others copy from it, and what is built from them
// waits for them.
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

artifact_record weights_on(const std::string& node) {
  const auto spec = hub_spec();
  artifact_record record;
  record.key = weights_key(spec.variants[0]);
  record.content = spec.variants[0].content;
  record.node = node_id{node};
  record.size_bytes = 10 << 20U;
  return record;
}

void fetched(core_fixture& t, const start_compile& order) {
  t.compiled(order, hub_spec().variants[0].content.value);
}

TEST(Weights, AreFetchedOnceAndThenCopied) {
  core_fixture t;
  for (const auto* node : {"a", "b", "c"}) {
    t.join(node, 1 + static_cast<std::uint64_t>(node[0]), {weights_profile()});
    t.advertise(cpu_spec(node));
  }
  t.declare(hub_spec());
  for (const auto* node : {"a", "b", "c"})
    for (int i = 0; i < 4; ++i)
      t.submit(std::string(node) + "/*");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key, weights_key(hub_spec().variants[0]));
  EXPECT_EQ(order.source.source, hub_spec().variants[0].source);
  t.expect_empty();
  fetched(t, order);
  t.take_all<queue_notice>();
  const auto loads = t.take_all<reserve_allocation>();
  ASSERT_EQ(loads.size(), 1U);
  EXPECT_EQ(loads[0].node, order.node);
  const auto copies = t.take_all<fetch_artifact>();
  ASSERT_FALSE(copies.empty());
  for (const auto& copy : copies)
    EXPECT_EQ(copy.from, order.node);
  EXPECT_EQ(t.view().counters.builds_started, 1U);
  t.drop_all();
}

TEST(Weights, AreLoadedFromTheStore) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.feed(artifact_found{weights_on("a"), incarnation{11}});
  t.advertise(cpu_spec("a"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  ASSERT_TRUE(load.artifact);
  EXPECT_EQ(load.artifact->content, hub_spec().variants[0].content);
  t.drop_all();
}

TEST(Weights, AreThereBeforeWhatIsBuiltFromThem) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.join("b", 22, {refnpu_profile()});
  t.advertise(npu_spec("b"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  const auto first = t.expect<start_compile>();
  EXPECT_TRUE(is_weights(first.key.profile));
  EXPECT_EQ(first.node.value, "a") << "only a can fetch";
  fetched(t, first);
  t.take_all<queue_notice>();
  const auto copy = t.expect<fetch_artifact>();
  EXPECT_EQ(copy.node.value, "b");
  EXPECT_EQ(copy.content, first.source.content);
  t.feed(artifact_found{weights_on("b"), incarnation{22}});
  t.take_all<queue_notice>();
  const auto build = t.expect<start_compile>();
  EXPECT_EQ(build.key.profile, refnpu_profile());
  EXPECT_EQ(build.node.value, "b");
}

TEST(Weights, ThatOneNodeMayNotReadAreFetchedByAnother) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.join("b", 22, {weights_profile()});
  t.advertise(cpu_spec("a"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  const auto first = t.expect<start_compile>();
  t.feed(compile_failed{first.compile,
                        t.life_of(first.node.value),
                        {recovery::retry_elsewhere, "weights_denied", "set HF_TOKEN"}});
  t.take_all<queue_notice>();
  EXPECT_NE(t.expect<start_compile>().node, first.node);
  EXPECT_TRUE(t.noted("fetch failed on"));
}

/// `a` alone has to fetch what a request waits for.
start_compile fetch_by_a(core_fixture& t) {
  t.join("a", 11, {weights_profile()});
  t.advertise(cpu_spec("a"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  return t.expect<start_compile>();
}

/// What came was whole, and not what was declared.
void comes_wrong(core_fixture& t, const start_compile& fetch) {
  t.feed(compile_failed{fetch.compile,
                        incarnation{11},
                        {recovery::retry_later, "weights_corrupt", "its digest is wrong"}});
}

/// Takes the end of the only request, which is turned away for weights that rest.
void expect_refused(core_fixture& t, const std::string& after) {
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_EQ(refused.reason.code, "build_failed");
  EXPECT_NE(refused.reason.message.find("its digest is wrong; fetched again in " + after
                                        + ", or at once after `consort compile storyteller --for "
                                          "auto` or when the model is declared again"),
            std::string::npos)
      << refused.reason.message;
  t.expect<record_request>();
}

TEST(Weights, OfAWrongDigestAreNotFetchedAgainForMinutes) {
  core_fixture t;
  comes_wrong(t, fetch_by_a(t));
  EXPECT_TRUE(t.noted("its digest is wrong; fetched again in 5m"));
  for (const auto& each : t.view().artifacts) // It is read at any time.
    EXPECT_EQ(each.last_error.find("fetched again"), std::string::npos) << each.last_error;
  t.pass_time_renewing(limits::return_grace_us, {"a"});
  t.drop_all(); // Who waited at first.
  t.submit();
  expect_refused(t, "4.83m");
  t.expect_empty();
  t.pass_time_renewing(limits::corrupt_backoff_us - limits::return_grace_us - 2 * second, {"a"});
  t.submit();
  expect_refused(t, "2s");
  t.expect_empty();
  t.pass_time_renewing(4 * second, {"a"});
  t.submit();
  t.take_all<queue_notice>();
  fetched(t, t.expect<start_compile>());
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.drop_all();
}

TEST(Weights, OfAWrongDigestAreFetchedAgainWhenDeclaredOrAskedFor) {
  for (const bool declared : {true, false}) {
    core_fixture t;
    comes_wrong(t, fetch_by_a(t));
    t.pass_time_renewing(limits::return_grace_us, {"a"});
    t.drop_all();
    if (declared) {
      t.feed(model_removed{model_name{"storyteller"}});
      t.declare(hub_spec());
      t.submit();
    } else {
      t.feed(compile_requested{model_name{"storyteller"}, "auto"});
    }
    EXPECT_EQ(t.take_all<start_compile>().size(), 1U) << declared;
    t.drop_all();
  }
}

/// For a request that waits for an engine of them.
start_compile fetch_for_an_engine(core_fixture& t) {
  t.join("a", 11, {weights_profile(), refnpu_profile()});
  t.advertise(npu_spec("a"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  return t.expect<start_compile>();
}

/// Nothing can be built of them, so who waits for an engine is told as well.
TEST(Weights, OfAWrongDigestEndWhoWaitsForAnEngineOfThem) {
  core_fixture t;
  const auto first = fetch_for_an_engine(t);
  ASSERT_TRUE(is_weights(first.key.profile));
  comes_wrong(t, first);
  t.pass_time_renewing(limits::return_grace_us, {"a"});
  t.drop_all();
  t.submit();
  expect_refused(t, "4.83m");
  t.expect_empty();
}

/// The server has no such file.
void is_nowhere(core_fixture& t, const start_compile& fetch) {
  t.feed(compile_failed{
      fetch.compile, incarnation{11}, {recovery::refuse, "weights_missing", "hub has no x.gguf"}});
  t.pass_time_renewing(limits::return_grace_us + second, {"a"});
  t.drop_all();
}

/// With the server's words and what to do once it has them.
void expect_refused_for_good(core_fixture& t) {
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_EQ(refused.reason.code, "build_failed");
  EXPECT_NE(refused.reason.message.find(
                "hub has no x.gguf (it is not tried again by itself; once that is mended: consort "
                "compile storyteller --for auto)"),
            std::string::npos)
      << refused.reason.message;
  t.expect<record_request>();
  t.expect_empty();
}

TEST(Weights, ThatAreNowhereServeNobody) {
  core_fixture t;
  is_nowhere(t, fetch_by_a(t));
  t.submit(); // Nobody can have them, so it is told at once.
  expect_refused_for_good(t);
}

TEST(Weights, ThatAreNowhereEndWhoWaitsForAnEngineOfThem) {
  core_fixture t;
  is_nowhere(t, fetch_for_an_engine(t));
  t.submit();
  expect_refused_for_good(t);
}

/// Whoever comes while they are fetched anew waits for that, and is served.
TEST(Weights, ThatWereNowhereAreWaitedForOnceSomebodyAskedForThem) {
  core_fixture t;
  is_nowhere(t, fetch_by_a(t));
  t.submit();
  expect_refused_for_good(t); // What is known of the devices is up to date.
  t.feed(compile_requested{model_name{"storyteller"}, "auto"});
  const auto again = t.expect<start_compile>();
  t.submit();
  EXPECT_EQ(t.expect<queue_notice>().state, std::string("loading"));
  t.expect_empty();
  fetched(t, again);
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.drop_all();
}

/// The only fetch failed, of something that passes.
void is_busy(core_fixture& t, const start_compile& fetch, const std::string& why) {
  t.feed(
      compile_failed{fetch.compile, incarnation{11}, {recovery::retry_later, "weights_busy", why}});
}

/// How who would not wait is turned away now.
std::string told_at_once(core_fixture& t, const char* model = "storyteller") {
  auto meta = t.request();
  meta.model = model_name{model};
  meta.wait_us = 0;
  t.submit(meta);
  const auto refused = t.take_all<reject_request>();
  EXPECT_EQ(refused.size(), 1U);
  t.take_all<record_request>();
  t.take_all<queue_notice>();
  return refused.empty() ? "" : refused[0].reason.message;
}

void expect_within(const std::string& all, const std::string& part) {
  EXPECT_NE(all.find(part), std::string::npos) << all;
}

TEST(Weights, ThatFailToComeForAWhileSayWhyAndWhen) {
  core_fixture t;
  const auto first = fetch_by_a(t);
  expect_within(told_at_once(t), "loading for a/cpu0; a fetches its weights, 0 % so far");
  is_busy(t, first, "hub wants fewer requests (429)");
  EXPECT_TRUE(t.noted("fetch failed on a: hub wants fewer requests (429); tried again in 1s"));
  expect_within(told_at_once(t),
                "its download has to be tried again; the last fetch of its weights "
                "failed: hub wants fewer requests (429); tried again in 1s");
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  EXPECT_EQ(t.view().artifacts[0].last_error, "hub wants fewer requests (429)");
  t.pass_time(second);
  t.take_all<queue_notice>();
  const auto again = t.expect<start_compile>();
  t.feed(compile_progressed{again.compile, incarnation{11}, 120});
  expect_within(told_at_once(t),
                "a fetches its weights, 12 % so far; the last fetch of its weights "
                "failed: hub wants fewer requests (429)");
  EXPECT_EQ(t.view().artifacts[0].last_error, "hub wants fewer requests (429)");
  t.drop_all();
}

TEST(Weights, WhoIsTurnedAwayIsToldToComeBackWhenTheyAreTriedAgain) {
  core_fixture t;
  auto fetch = fetch_by_a(t);
  for (int failed = 1; failed < 3; ++failed) {
    is_busy(t, fetch, "hub wants fewer requests (429)");
    t.take_all<queue_notice>();
    t.pass_time_renewing(failed * limits::fetch_backoff_min_us, {"a"});
    t.take_all<queue_notice>();
    fetch = t.expect<start_compile>();
  }
  is_busy(t, fetch, "hub wants fewer requests (429)");
  t.take_all<queue_notice>();
  auto meta = t.request();
  meta.wait_us = 0;
  t.submit(meta);
  const auto refused = t.take_all<reject_request>();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].http_status, 503);
  expect_within(refused[0].reason.message, "; tried again in 4s");
  EXPECT_EQ(refused[0].retry_after_us, 4 * limits::fetch_backoff_min_us);
  EXPECT_FALSE(refused[0].eta_us) << "nobody knows whether it comes then";
  t.drop_all();
}

TEST(Weights, AreNotTriedBeforeTheirServerAskedFor) {
  core_fixture t;
  const auto first = fetch_by_a(t);
  t.feed(compile_failed{first.compile,
                        incarnation{11},
                        {recovery::retry_later, "weights_busy", "asks to be left alone for 3s"},
                        3 * second});
  EXPECT_TRUE(t.noted("asks to be left alone for 3s; tried again in 3s"));
  t.take_all<queue_notice>();
  t.pass_time_renewing(3 * second - 1, {"a"});
  EXPECT_TRUE(t.take_all<start_compile>().empty());
  t.pass_time(1);
  t.take_all<queue_notice>();
  const auto second_try = t.expect<start_compile>();
  t.feed(compile_failed{second_try.compile,
                        incarnation{11},
                        {recovery::retry_later, "weights_busy", "for ever"},
                        2 * limits::retry_after_max_us});
  EXPECT_TRUE(t.noted("for ever; tried again in 10m")) << "no more is believed";
  t.drop_all();
}

TEST(Weights, OfAServerThatIsAwayForLongAreTriedEveryMinuteAndToldOfOnce) {
  core_fixture t;
  auto fetch = fetch_by_a(t);
  t.feed(compile_requested{model_name{"storyteller"}, "auto"}); // Wanted whoever waits.
  for (int tries = 0; tries < 10; ++tries) {
    is_busy(t, fetch, "hub answered with status 500");
    t.pass_time_renewing(limits::fetch_backoff_max_us, {"a"});
    t.take_all<queue_notice>();
    t.take_all<reject_request>();
    t.take_all<record_request>();
    fetch = t.expect<start_compile>();
    t.expect_empty();
  }
  EXPECT_EQ(t.noted_times("fetch failed on a: hub answered with status 500"), 1U);
  EXPECT_EQ(t.noted_times("a fetches the weights of"), 1U);
  is_busy(t, fetch, "nothing came for 15s");
  EXPECT_EQ(t.noted_times("fetch failed on a"), 2U) << "another reason";
  t.drop_all();
}

/// A model of other weights of elsewhere, which somebody waits for.
void want_another(core_fixture& t, const std::string& name) {
  auto made = story_spec(name);
  made.variants[0].source = "hf:org/" + name + "/x.gguf";
  made.aliases.clear();
  t.declare(made);
  auto meta = t.request();
  meta.model = made.name;
  t.submit(meta);
  t.take_all<queue_notice>();
}

TEST(Weights, WaitForThoseThatAreFetchedAndTakeThePlaceOfOneThatStalled) {
  core_fixture t;
  const auto first = fetch_by_a(t);
  for (std::uint32_t more = 1; more < limits::compiles_per_node_max; ++more)
    want_another(t, "m" + std::to_string(more));
  t.take_all<start_compile>();
  want_another(t, "zebra");
  t.expect_empty();
  expect_within(told_at_once(t, "zebra"), "its download waits for "
                                              + std::to_string(limits::compiles_per_node_max)
                                              + " others on a");
  is_busy(t, first, "nothing came for 15s");
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<start_compile>().model.value, "zebra");
  t.pass_time(2 * second); // The one that stalled waits its turn.
  t.take_all<queue_notice>();
  t.expect_empty();
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
