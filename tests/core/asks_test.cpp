// SPDX-License-Identifier: Apache-2.0
// What a request asks for and not every runtime answers (a kind, several choices, a form) decides
// who may serve it, is loaded for it, and is named when nobody can.
#include "scheduler/asks.hpp"
#include "tests/support/core_fixture.hpp"

#include <gmock/gmock.h>

#include <functional>

namespace consort::core::testing {

namespace {

using ::testing::HasSubstr;

/// `local/cpu0`, the faster one, whose runtime answers all but that.
device_spec refusing(std::uint32_t bits) {
  auto made = cpu_spec("local", 0);
  made.spec.prefill_tokens_per_s = 20'000;
  made.spec.decode_tokens_per_s = 1'000;
  made.capability.runtime.refuses = bits;
  return made;
}

/// It, and `local/cpu1`, which answers all.
void refusing_beside_slower(core_fixture& t, std::uint32_t bits) {
  t.join("local");
  t.advertise(refusing(bits));
  t.advertise(cpu_spec("local", 1));
  t.declare(story_spec());
}

request_meta chat(core_fixture& t, const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.kind = request_kind::chat;
  return meta;
}

request_meta asking(core_fixture& t, std::uint32_t bits) {
  auto meta = t.request();
  meta.asks = bits;
  return meta;
}

std::string first_load(core_fixture& t) {
  const auto asked = t.take_all<reserve_allocation>();
  return asked.empty() ? "none" : asked.front().grant.shares.at(0).device.value;
}

/// Where the model is loaded for the request, as the only one.
std::string loaded_for(std::uint32_t refused,
                       const std::function<request_meta(core_fixture&)>& of) {
  core_fixture t;
  refusing_beside_slower(t, refused);
  t.submit(of(t));
  const auto there = first_load(t);
  t.drop_all();
  return there;
}

TEST(Asks, HaveTheModelLoadedWhereTheyAreAnswered) {
  const auto plain = [](core_fixture& t) { return t.request(); };
  const auto chats = [](core_fixture& t) { return chat(t); };
  const auto formed = [](core_fixture& t) { return asking(t, asks::forms); };
  const auto several = [](core_fixture& t) {
    auto meta = t.request();
    meta.choices = 2;
    return meta;
  };
  EXPECT_EQ(loaded_for(0, plain), "local/cpu0");
  EXPECT_EQ(loaded_for(asks::completions, plain), "local/cpu1");
  EXPECT_EQ(loaded_for(asks::completions, chats), "local/cpu0");
  EXPECT_EQ(loaded_for(asks::chats, chats), "local/cpu1");
  EXPECT_EQ(loaded_for(asks::forms, formed), "local/cpu1");
  EXPECT_EQ(loaded_for(asks::forms, plain), "local/cpu0");
  EXPECT_EQ(loaded_for(asks::choices, several), "local/cpu1");
  EXPECT_EQ(loaded_for(asks::choices, plain), "local/cpu0");
}

TEST(Asks, ThatNobodyAnswersAreRefusedByName) {
  core_fixture t;
  refusing_beside_slower(t, asks::completions | asks::choices);
  t.submit("local/cpu0");
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_THAT(refused.reason.message,
              HasSubstr("answers (its runtime does not answer completions)"));
  t.drop_all();
  t.submit(chat(t, "local/cpu0"));
  EXPECT_EQ(first_load(t), "local/cpu0");
  t.drop_all();
}

TEST(Asks, ThatADeviceRefusesAreNamedWhenItIsExplained) {
  core_fixture t;
  refusing_beside_slower(t, asks::echo | asks::logprobs);
  auto meta = asking(t, asks::echo);
  t.submit(meta);
  t.drop_all();
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  ASSERT_FALSE(told->decisions.empty());
  std::string why;
  for (const auto& one : told->decisions.back().candidates)
    if (one.device.value == "local/cpu0")
      why = one.removed_by + ": " + one.reason;
  EXPECT_EQ(why, "answers: its runtime does not answer completions with `echo`");
}

TEST(Asks, AreNotServedByAReplicaThatRefusesThem) {
  core_fixture t;
  refusing_beside_slower(t, asks::completions);
  t.submit(chat(t));
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  const auto chatted = t.expect<grant_ticket>();
  EXPECT_EQ(chatted.granted.device.value, "local/cpu0");
  t.finish(chatted);
  t.drop_all();
  t.submit();
  const auto notice = t.take_all<queue_notice>();
  ASSERT_EQ(notice.size(), 1U);
  EXPECT_EQ(notice[0].state, "loading");
  t.finish_load();
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu1");
  t.drop_all();
}

TEST(Asks, ThatWaitHoldUpNobodyWhoAsksForLess) {
  core_fixture t;
  refusing_beside_slower(t, asks::completions);
  t.submit(chat(t, "local/cpu0"));
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  t.finish(t.expect<grant_ticket>());
  for (std::size_t each = 0; each < limits::lane_bypass_max + 2; ++each)
    t.submit();
  t.pass_time_renewing(limits::starvation_us + second);
  t.drop_all();
  t.submit(chat(t));
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U) << "whether they starve or not";
  EXPECT_EQ(granted[0].granted.device.value, "local/cpu0");
  t.drop_all();
}

/// It is the first one that refuses anything, and a request waits already.
TEST(Asks, OfWhoWaitsAreKeptFromADeviceThatComesLater) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec("local", 1));
  t.declare(story_spec());
  t.submit();
  const auto slower = t.expect<reserve_allocation>();
  t.drop_all();
  t.advertise(refusing(asks::completions));
  t.submit(chat(t, "local/cpu0"));
  const auto faster = t.take_all<reserve_allocation>();
  ASSERT_EQ(faster.size(), 1U);
  t.feed(t.reserved(faster[0]));
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U) << "the chat alone";
  EXPECT_EQ(granted[0].granted.device.value, "local/cpu0");
  t.drop_all();
  t.feed(t.reserved(slower));
  t.loaded(t.expect<load_replica>());
  const auto late = t.take_all<grant_ticket>();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].granted.device.value, "local/cpu1");
  t.drop_all();
}

TEST(Asks, OfAPlanAreWhateverIsAnsweredThere) {
  core_fixture t;
  refusing_beside_slower(t, asks::completions);
  const auto planned = t.tested().plan({model_name{"storyteller"}, "local/cpu0", {}}, t.now());
  ASSERT_TRUE(planned);
  ASSERT_FALSE(planned->decisions.empty());
  EXPECT_EQ(planned->decisions[0].outcome, "load");
  EXPECT_EQ(planned->decisions[0].winner.value, "local/cpu0");
}

TEST(Asks, EachHasABitAndWordsOfItsOwn) {
  std::uint32_t seen = 0;
  for (const auto& one : asks::all) {
    EXPECT_EQ(seen & one.bit, 0U) << one.said;
    seen |= one.bit;
    EXPECT_FALSE(one.said.empty());
  }
  EXPECT_EQ(seen, (1U << asks::all.size()) - 1);
  EXPECT_EQ(seen & asks::anything, 0U);
  request_meta meta;
  meta.kind = request_kind::chat;
  meta.asks = asks::completions | asks::echo; // What kind it is, its field says.
  EXPECT_EQ(asks::of(meta), asks::chats | asks::echo);
}

} // namespace

} // namespace consort::core::testing
