// SPDX-License-Identifier: Apache-2.0
// Weights of elsewhere: one node fetches them, the others copy from it, and what is built from them
// waits for them.
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

model_spec hub_spec() {
  auto made = story_spec();
  made.variants[0].source = "hf:org/repo@0123456789abcdef0123456789abcdef01234567/tiny.gguf";
  return made;
}

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

/// Nothing can be built of them, so who waits for an engine is told as well.
TEST(Weights, OfAWrongDigestEndWhoWaitsForAnEngineOfThem) {
  core_fixture t;
  t.join("a", 11, {weights_profile(), refnpu_profile()});
  t.advertise(npu_spec("a"));
  t.declare(hub_spec());
  t.submit();
  t.take_all<queue_notice>();
  const auto first = t.expect<start_compile>();
  ASSERT_TRUE(is_weights(first.key.profile));
  comes_wrong(t, first);
  t.pass_time_renewing(limits::return_grace_us, {"a"});
  t.drop_all();
  t.submit();
  expect_refused(t, "4.83m");
  t.expect_empty();
}

TEST(Weights, ThatAreNowhereServeNobody) {
  core_fixture t;
  const auto first = fetch_by_a(t);
  t.feed(compile_failed{
      first.compile, incarnation{11}, {recovery::refuse, "weights_missing", "no such file"}});
  t.pass_time_renewing(limits::return_grace_us + second, {"a"});
  t.submit(); // Nobody can have them, so it is told at once.
  const auto refused = t.take_all<reject_request>();
  ASSERT_GE(refused.size(), 1U);
  EXPECT_EQ(refused.back().reason.code, "no_such_device") << "nothing was to be built";
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
