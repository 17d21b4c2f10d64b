// SPDX-License-Identifier: Apache-2.0
// A session adds to what hashes of prompts tell: that an answer is cached where it was written, and
// a prompt that is not hashed where it was read. It is followed where that saves time, is nobody
// else's, and is not believed against what the prompt, the clock of the cache or the engine say.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

constexpr auto* second_cpu = "local/cpu1";

std::vector<device_spec> wide(int count) {
  auto made = alike(count);
  for (auto& one : made) {
    one.capability.max_sequences = 64;
    one.spec.decode_batch_gain_pm = 50;
  }
  return made;
}

/// A turn of tenant `a`'s session.
request_meta turn_of(loaded_cluster& t, std::uint32_t tokens,
                     std::vector<std::uint64_t> blocks = {}) {
  auto meta = t.request();
  meta.tenant = tenant_id{"a"};
  meta.session = "talk";
  meta.prompt_tokens = tokens;
  meta.prefix_blocks = std::move(blocks);
  return meta;
}

/// Serves it on that device. The engine tells how much of it was cached, and takes as long as the
/// spec sheet says.
void serve_turn(loaded_cluster& t, request_meta meta, std::uint32_t answer,
                std::uint32_t cached = 0, const std::string& device = "local/cpu0") {
  meta.selector = device;
  const auto ticket = t.ask(meta);
  ASSERT_EQ(ticket.granted.device.value, device);
  attempt_measurement seen;
  seen.usage = {meta.prompt_tokens, answer, cached};
  seen.first_token_us = 500 * static_cast<duration_us>(meta.prompt_tokens - cached);
  seen.total_us = seen.first_token_us + 10'000 * static_cast<duration_us>(answer);
  t.feed(attempt_finished{ticket.granted.attempt, seen});
  t.drop_all();
}

decision_view decision_on(loaded_cluster& t, const request_meta& meta) {
  return t.tested().explain(meta, t.now())->decisions.at(0);
}

/// How many of its tokens are thought to be cached, by device, in tens.
std::map<std::string, std::int64_t> cached_of(loaded_cluster& t, const request_meta& meta) {
  std::map<std::string, std::int64_t> made;
  for (const auto& one : decision_on(t, meta).candidates) {
    std::int64_t read_us = 0, saved_us = 0;
    for (const auto& term : one.terms) {
      read_us = term.name == "prefill" ? term.value : read_us;
      saved_us = term.name == "prefix" ? -term.value : saved_us;
    }
    if (saved_us > 0)
      made[one.device.value] = (saved_us * meta.prompt_tokens / read_us + 5) / 10 * 10;
  }
  return made;
}

using by_device = std::map<std::string, std::int64_t>;

TEST(Session, ItsAnswerIsCachedWhereItWasWritten) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000, {1, 2, 3, 4}), 500, 0, second_cpu);
  auto next = turn_of(t, 1'600, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(cached_of(t, next), (by_device{{second_cpu, 1'500}}));
  for (const auto& one : decision_on(t, next).candidates)
    EXPECT_EQ(one.reason,
              one.device.value == second_cpu ? "its session's last turn is cached there" : "");
  next.session.clear();
  EXPECT_EQ(cached_of(t, next), (by_device{{second_cpu, 800}})) << "half of its blocks";
  for (const auto& one : decision_on(t, next).candidates)
    EXPECT_EQ(one.reason, "");
}

TEST(Session, IsFollowedWhereItSavesTime) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000), 500, 0, second_cpu);
  auto ahead = t.request(second_cpu);
  ahead.prompt_tokens = 400;
  t.ask(ahead);
  auto next = turn_of(t, 1'600);
  next.session.clear();
  EXPECT_EQ(decision_on(t, next).winner.value, "local/cpu0") << "who reads nothing just now";
  next.session = "talk";
  EXPECT_EQ(decision_on(t, next).winner.value, second_cpu);
  EXPECT_EQ(t.device_for(next), second_cpu);
}

TEST(Session, IsLeftWhereTheWaitIsLongerThanWhatIsSaved) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000), 500, 0, second_cpu);
  auto ahead = t.request(second_cpu);
  ahead.prompt_tokens = 6'000;
  t.ask(ahead);
  EXPECT_EQ(t.device_for(turn_of(t, 1'600)), "local/cpu0");
}

TEST(Session, IsOfOneTenant) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000), 500, 0, second_cpu);
  auto next = turn_of(t, 1'600);
  EXPECT_EQ(cached_of(t, next), (by_device{{second_cpu, 1'500}}));
  next.tenant = tenant_id{"b"};
  EXPECT_EQ(cached_of(t, next), by_device{});
  next.tenant = {};
  EXPECT_EQ(cached_of(t, next), by_device{});
}

TEST(Session, HasAConversationForEachBeginning) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 600, {1, 2}), 300, 0, "local/cpu0");
  serve_turn(t, turn_of(t, 600, {7, 8}), 300, 0,
             second_cpu); // Of a helper's, which has the same session.
  EXPECT_EQ(cached_of(t, turn_of(t, 1'000, {1, 2, 3, 4})), (by_device{{"local/cpu0", 900}}));
  EXPECT_EQ(cached_of(t, turn_of(t, 1'000, {7, 8, 9, 10})), (by_device{{second_cpu, 900}}));
}

TEST(Session, SaysNothingOfAPromptThatDoesNotGoOnFromItsLastTurn) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000, {1, 2, 3, 4}), 500, 0, second_cpu);
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600, {1, 2, 9, 10, 11, 12, 13, 14})),
            (by_device{{second_cpu, 400}}))
      << "the two blocks that both begin with";
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600, {9, 2, 3, 4, 5, 6, 7, 8})), by_device{});
  serve_turn(t, turn_of(t, 1'000), 500, 0, second_cpu);
  EXPECT_EQ(cached_of(t, turn_of(t, 900)), by_device{}) << "it was cut";
}

TEST(Session, DoesNotTakeAnAnswerForRepeatedThatIsLongerThanWhatCameOnTop) {
  loaded_cluster t(wide(2));
  serve_turn(t, turn_of(t, 1'000), 2'000, 0, second_cpu); // Most of it reasoning.
  EXPECT_EQ(cached_of(t, turn_of(t, 1'150)), (by_device{{second_cpu, 1'000}}));
  EXPECT_EQ(cached_of(t, turn_of(t, 2'600)), (by_device{{second_cpu, 2'600}}))
      << "estimates differ";
  EXPECT_EQ(cached_of(t, turn_of(t, 3'500)), (by_device{{second_cpu, 3'000}}));
}

TEST(Session, IsForgottenWithTheInstance) {
  loaded_cluster t(wide(2));
  auto first = turn_of(t, 1'000);
  first.selector = second_cpu;
  const auto ticket = t.ask(first);
  t.finish(ticket);
  t.drop_all();
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600)).count(second_cpu), 1U);
  t.feed(replica_failed{ticket.granted.instance,
                        t.life_of("local"),
                        {recovery::retry_elsewhere, "host_died", "its host died"}});
  t.drop_all();
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600)), by_device{});
}

/// Prompts of 1,000 tokens that nobody has read, and answers of 50.
void serve_others(loaded_cluster& t, std::uint64_t count, std::uint64_t from) {
  for (std::uint64_t each = from; each < from + count; ++each) {
    auto meta = turn_of(t, 1'000, {1'000 + 2 * each, 1'001 + 2 * each});
    meta.session.clear();
    serve_turn(t, meta, 50);
  }
}

TEST(Session, IsForgottenWhenTheEngineMustHaveForgottenIt) {
  loaded_cluster t(wide(1), core_fixture::quiet(), 10'000);
  serve_turn(t, turn_of(t, 1'000, {1, 2, 3, 4}), 500);
  const auto next = turn_of(t, 1'600, {1, 2, 3, 4, 5, 6, 7, 8});
  serve_others(t, 8, 0);
  EXPECT_EQ(cached_of(t, next), (by_device{{"local/cpu0", 1'500}})) << "8,400 tokens later";
  serve_others(t, 4, 8);
  EXPECT_EQ(cached_of(t, next), by_device{}) << "it holds 10,000";
}

TEST(Session, IsForgottenForPromptsThatAreNotHashedToo) {
  loaded_cluster t(wide(1), core_fixture::quiet(), 10'000);
  serve_turn(t, turn_of(t, 1'000), 500);
  const auto serve_another = [&](int number) {
    auto meta = turn_of(t, 1'100);
    meta.session = "talk " + std::to_string(number);
    serve_turn(t, meta, 50);
  };
  for (int number = 0; number < 8; ++number)
    serve_another(number);
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600)), (by_device{{"local/cpu0", 1'500}}));
  serve_another(8);
  EXPECT_EQ(cached_of(t, turn_of(t, 1'600)), by_device{}) << "10,350 tokens later";
}

TEST(Session, IsDoubtedForAsLongAsTheEngineTellsOtherwise) {
  loaded_cluster t(wide(1));
  serve_turn(t, turn_of(t, 1'000, {1, 2, 3, 4}), 500);
  // It keeps prompts only.
  serve_turn(t, turn_of(t, 1'600, {1, 2, 3, 4, 5, 6, 7, 8}), 500, 1'000);
  const auto third = turn_of(t, 2'200, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_EQ(cached_of(t, third), (by_device{{"local/cpu0", 1'600}})) << "8 of 11 blocks";
  serve_turn(t, third, 500, 2'050); // Now it kept the answer.
  EXPECT_EQ(cached_of(t, turn_of(t, 2'800, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})),
            (by_device{{"local/cpu0", 2'700}}));
}

TEST(Session, ThatIsWrongIsNotHeldAgainstTheCache) {
  loaded_cluster t(wide(1), core_fixture::quiet(), 10'000);
  serve_turn(t, turn_of(t, 1'000, {1, 2}), 3'000);
  // It is believed to hold 4,000 tokens, and has what the hashes say.
  serve_turn(t, turn_of(t, 4'200, {1, 2, 3, 4, 5, 6, 7, 8}), 100, 1'000);
  auto other = turn_of(t, 1'000, {21, 22});
  other.session.clear();
  serve_turn(t, other, 50);
  serve_others(t, 8, 0);
  EXPECT_EQ(cached_of(t, other), (by_device{{"local/cpu0", 1'000}}))
      << "8,450 tokens later, of the 10,000 that it keeps";
}

TEST(Session, OfWhichAnotherKnowsNothingChangesNoDecision) {
  loaded_cluster named(wide(3)), unnamed(wide(3));
  for (std::uint32_t each = 0; each < 30; ++each) {
    auto one = turn_of(named, 300, {1 + each % 3, 10 + each});
    auto other = turn_of(unnamed, 300, {1 + each % 3, 10 + each});
    one.session = "talk " + std::to_string(each);
    other.session.clear();
    EXPECT_EQ(named.device_for(one), unnamed.device_for(other));
    EXPECT_EQ(named.tested().digest(), unnamed.tested().digest());
    named.pass_time(1'000);
    unnamed.pass_time(1'000);
  }
  named.drop_all();
  unnamed.drop_all();
}

} // namespace

} // namespace consort::core::testing
