// SPDX-License-Identifier: Apache-2.0
// The llama runtime through its C ABI, as a host process uses it, on the shipped model.
#include "tests/unit/engine/runtime_client.hpp"

#include "node/plugins/llama/limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

namespace consort::llama_test {
namespace {

using json = nlohmann::json;

const std::string king = "Once upon a time there was a king who";

json greedy(const std::string& prompt, int tokens) {
  return {{"prompt", prompt}, {"temperature", 0}, {"max_tokens", tokens}};
}

class Generation : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(client.open({{"model", model_path()}}), CONSORT_OK) << client.message();
  }
  runtime_client client{llama_library()};
};

TEST_F(Generation, GreedyTextIsTheGoldenText) {
  for (const json& entry : golden()) {
    const answer got = client.complete(greedy(entry["prompt"], 48));
    EXPECT_EQ(json(got.ids.at(0)), entry["greedy_ids"]) << entry["prompt"];
    EXPECT_EQ(entry["prompt"].get<std::string>() + got.text.at(0), entry["greedy_text"]);
    EXPECT_EQ(got.prompt_tokens, entry["prompt_ids"].size());
    EXPECT_EQ(got.completion_tokens, 48U);
    EXPECT_EQ(got.finish.at(0), "length");
  }
}

TEST_F(Generation, PromptTokensGiveTheSameTextAsTheirText) {
  const json& entry = golden()[0];
  const answer got
      = client.complete({{"prompt", entry["prompt_ids"]}, {"temperature", 0}, {"max_tokens", 48}});
  EXPECT_EQ(json(got.ids.at(0)), entry["greedy_ids"]);
}

TEST_F(Generation, RequestsSideBySideStayGoldenAndShareSteps) {
  const auto before = client.stats()["steps_total"].get<std::uint64_t>();
  for (std::size_t i = 0; i < golden().size(); ++i)
    ASSERT_EQ(client.submit(i, CONSORT_COMPLETION, greedy(golden()[i]["prompt"], 48).dump()),
              CONSORT_OK);
  std::uint32_t batch = 0;
  for (std::size_t i = 0; i < golden().size(); ++i) {
    const answer got = client.wait(i);
    EXPECT_EQ(json(got.ids.at(0)), golden()[i]["greedy_ids"]);
    batch = std::max(batch, got.batch);
  }
  EXPECT_GE(batch, 2U);
  EXPECT_LT(client.stats()["steps_total"].get<std::uint64_t>() - before, 48U * golden().size());
}

TEST_F(Generation, MoreRequestsThanSequencesAllFinish) {
  constexpr std::uint64_t requests = 20;
  for (std::uint64_t id = 0; id < requests; ++id)
    ASSERT_EQ(
        client.submit(id, CONSORT_COMPLETION, greedy(king, static_cast<int>(5 + id % 7)).dump()),
        CONSORT_OK);
  for (std::uint64_t id = 0; id < requests; ++id) {
    const answer got = client.wait(id);
    EXPECT_EQ(got.completion_tokens, 5 + id % 7);
    EXPECT_EQ(json(got.ids.at(0)).dump(),
              json(std::vector<std::int32_t>(golden()[0]["greedy_ids"].begin(),
                                             golden()[0]["greedy_ids"].begin()
                                                 + static_cast<std::ptrdiff_t>(5 + id % 7)))
                  .dump());
  }
  EXPECT_EQ(client.stats()["sequences_running"], 0);
  EXPECT_EQ(client.stats()["kv_tokens_used"], 0);
}

/// The fastest of some: what else the machine does delays one or the other, an engine that heeds
/// its cancels late delays them all.
TEST_F(Generation, CancelStopsTheEngineWithin100Milliseconds) {
  constexpr std::uint64_t tries = 5;
  json endless = greedy(king, 500);
  endless["ignore_eos"] = true;
  auto fastest = std::chrono::steady_clock::duration::max();
  for (std::uint64_t id = 1; id <= tries; ++id) {
    ASSERT_EQ(client.submit(id, CONSORT_COMPLETION, endless.dump()), CONSORT_OK);
    (void)client.wait_for_tokens(id, 3);
    const auto asked = std::chrono::steady_clock::now();
    client.cancel(id);
    EXPECT_EQ(client.wait(id).code, "cancelled");
    fastest = std::min(fastest, std::chrono::steady_clock::now() - asked);
  }
  EXPECT_LT(fastest, std::chrono::milliseconds(100));
  const auto stopped = client.stats()["tokens_generated_total"].get<std::uint64_t>();
  EXPECT_LT(stopped, tries * 500U);
  EXPECT_EQ(client.stats()["cancelled_total"], tries);
  EXPECT_EQ(client.stats()["sequences_running"], 0);
  // Another request runs alone: every token counted from here on is its own.
  EXPECT_EQ(client.complete(greedy(king, 4)).completion_tokens, 4U);
  EXPECT_EQ(client.stats()["tokens_generated_total"], stopped + 4);
}

TEST_F(Generation, CancelOfAWaitingOrUnknownRequestIsHarmless) {
  client.close();
  ASSERT_EQ(client.open({{"model", model_path()}, {"sequences", 1}}), CONSORT_OK);
  ASSERT_EQ(client.submit(1, CONSORT_COMPLETION, greedy(king, 400).dump()), CONSORT_OK);
  ASSERT_EQ(client.submit(2, CONSORT_COMPLETION, greedy(king, 4).dump()), CONSORT_OK);
  client.cancel(2);
  client.cancel(77);
  EXPECT_EQ(client.wait(2).code, "cancelled");
  client.cancel(1);
  EXPECT_EQ(client.wait(1).opened, 1U);
}

TEST_F(Generation, StopStringsEndTheTextBeforeThemAcrossTokens) {
  // " had a daughter, and the king's son": "ghter, a" lies across four tokens.
  json body = greedy(king, 48);
  body["stop"] = "ghter, a";
  const answer got = client.complete(body);
  EXPECT_EQ(got.text.at(0), " had a dau");
  EXPECT_EQ(got.finish.at(0), "stop");
  EXPECT_LT(got.completion_tokens, 20U);
  body["stop"] = {"never here", " daughter"};
  EXPECT_EQ(client.complete(body).text.at(0), " had a");
}

TEST_F(Generation, TextThatOnlyBeginsAStopStringIsGivenBack) {
  json body = greedy(king, 4);
  const std::string plain = client.complete(body).text.at(0);
  body["stop"] = plain.substr(plain.size() - 2) + "zzz";
  const answer got = client.complete(body);
  EXPECT_EQ(got.text.at(0), plain);
  EXPECT_EQ(got.finish.at(0), "length");
}

TEST_F(Generation, TwoChoicesShareOnePrefill) {
  const auto before = client.stats();
  json body = greedy(king, 48);
  body["n"] = 2;
  const answer got = client.complete(body);
  EXPECT_EQ(json(got.ids.at(0)), golden()[0]["greedy_ids"]);
  EXPECT_EQ(json(got.ids.at(1)), golden()[0]["greedy_ids"]);
  EXPECT_EQ(got.completion_tokens, 96U);
  EXPECT_EQ(got.finish.size(), 2U);
  EXPECT_EQ(client.stats()["prompt_tokens_total"].get<std::uint64_t>()
                - before["prompt_tokens_total"].get<std::uint64_t>(),
            golden()[0]["prompt_ids"].size());
}

TEST_F(Generation, SeedDecidesTheTextAndEachChoiceHasItsOwn) {
  json body = {{"prompt", king}, {"max_tokens", 24}, {"seed", 42}, {"n", 2}};
  const answer once = client.complete(body);
  const answer again = client.complete(body);
  EXPECT_EQ(once.ids, again.ids);
  EXPECT_NE(once.ids.at(0), once.ids.at(1));
  body["seed"] = 43;
  body["n"] = 1;
  EXPECT_EQ(client.complete(body).ids.at(0), once.ids.at(1));
}

TEST_F(Generation, SamplingFieldsNarrowTheChoice) {
  const json greedy_ids = golden()[0]["greedy_ids"];
  for (const char* field : {"top_k", "top_p", "min_p"}) {
    json body = {{"prompt", king}, {"max_tokens", 48}, {"seed", 5}};
    body[field] = std::string(field) == "top_p" ? json(0.0) : json(1);
    EXPECT_EQ(json(client.complete(body).ids.at(0)), greedy_ids) << field;
  }
  json banned = greedy(king, 1);
  banned["logit_bias"] = {{std::to_string(greedy_ids[0].get<int>()), -100}};
  EXPECT_NE(client.complete(banned).ids.at(0).at(0), greedy_ids[0].get<int>());
  for (const char* field : {"presence_penalty", "frequency_penalty", "repeat_penalty"}) {
    json body = greedy(king, 48);
    body[field] = 2;
    EXPECT_NE(json(client.complete(body).ids.at(0)), greedy_ids) << field;
  }
}

TEST_F(Generation, ResumedByIdsGivesTheSameTextAsUndisturbed) {
  for (const json& entry : golden()) {
    const auto all = entry["greedy_ids"].get<std::vector<std::int32_t>>();
    const std::string whole
        = entry["greedy_text"].get<std::string>().substr(entry["prompt"].get<std::string>().size());
    for (const std::ptrdiff_t cut : {1, 17, 40}) {
      const std::vector<std::int32_t> emitted(all.begin(), all.begin() + cut);
      const answer first = client.complete(greedy(entry["prompt"], static_cast<int>(cut)));
      const answer got = client.run(CONSORT_COMPLETION, greedy(entry["prompt"], 48), emitted,
                                    first.text.at(0).c_str());
      EXPECT_EQ(first.text.at(0) + got.text.at(0), whole);
      EXPECT_EQ(got.completion_tokens, 48U);
      EXPECT_EQ(got.prompt_tokens, entry["prompt_ids"].size());
      EXPECT_EQ(got.ids.at(0).size(), all.size() - static_cast<std::size_t>(cut));
    }
  }
}

TEST_F(Generation, ResumedSamplingDrawsWhatItWouldHaveDrawn) {
  const json body = {{"prompt", king}, {"max_tokens", 30}, {"seed", 9}, {"temperature", 0.9}};
  const answer whole = client.complete(body);
  ASSERT_EQ(whole.ids.at(0).size(), 30U);
  const std::vector<std::int32_t> emitted(whole.ids.at(0).begin(), whole.ids.at(0).begin() + 12);
  const answer rest = client.run(CONSORT_COMPLETION, body, emitted);
  EXPECT_EQ(rest.ids.at(0),
            std::vector<std::int32_t>(whole.ids.at(0).begin() + 12, whole.ids.at(0).end()));
}

TEST_F(Generation, ResumedInsideAStopStringStillStopsThere) {
  json body = greedy(king, 48);
  body["stop"] = "ghter, a";
  const auto all = golden()[0]["greedy_ids"].get<std::vector<std::int32_t>>();
  // Five ids are out when the text has reached " had a daughter": "ghter" is held back.
  const answer got
      = client.run(CONSORT_COMPLETION, body, {all.begin(), all.begin() + 4}, " had a dau");
  EXPECT_EQ(got.text.count(0) == 0 ? "" : got.text.at(0), "");
  EXPECT_EQ(got.finish.at(0), "stop");
}

TEST_F(Generation, ResumedByTextGoesOnAndDeductsItsTokens) {
  const answer got
      = client.run(CONSORT_COMPLETION, greedy(king, 48), {}, " had a daughter, and the king");
  EXPECT_EQ(got.text.at(0).rfind("'s son said to him", 0), 0U) << got.text.at(0);
  EXPECT_EQ(got.completion_tokens, 48U);
}

TEST_F(Generation, ResumedAfterItsLastTokenOnlyEnds) {
  const auto all = golden()[0]["greedy_ids"].get<std::vector<std::int32_t>>();
  const answer got = client.run(CONSORT_COMPLETION, greedy(king, 48), all);
  EXPECT_TRUE(got.completed);
  EXPECT_EQ(got.finish.at(0), "length");
  EXPECT_EQ(got.completion_tokens, 48U);
}

TEST_F(Generation, EchoRepeatsThePromptAndZeroTokensAreAllowed) {
  json body = greedy(king, 0);
  body["echo"] = true;
  const answer got = client.complete(body);
  EXPECT_EQ(got.text.at(0), king);
  EXPECT_EQ(got.completion_tokens, 0U);
  EXPECT_EQ(got.finish.at(0), "length");
}

TEST_F(Generation, MaxTokensBeyondTheContextIsClipped) {
  json body = greedy(king, 100000);
  body["ignore_eos"] = true;
  const answer got = client.complete(body);
  EXPECT_EQ(got.finish.at(0), "length");
  EXPECT_EQ(got.prompt_tokens + got.completion_tokens, 512U);
}

TEST_F(Generation, ChatWithoutATemplateContinuesTheJoinedMessages) {
  const json body = {{"messages",
                      {{{"role", "system"}, {"content", "Once upon a time"}},
                       {{"role", "user"},
                        {"content",
                         {{{"type", "text"}, {"text", "there was a "}},
                          {{"type", "text"}, {"text", "king who"}}}}}}},
                     {"temperature", 0},
                     {"max_completion_tokens", 8}};
  const answer chat = client.run(CONSORT_CHAT, body);
  const answer plain = client.complete(greedy("Once upon a time\nthere was a king who", 8));
  EXPECT_EQ(chat.ids.at(0), plain.ids.at(0));
}

TEST_F(Generation, LogprobsComeBesideEachToken) {
  json body = greedy(king, 3);
  body["logprobs"] = 2;
  const answer got = client.complete(body);
  ASSERT_EQ(got.extra.size(), 3U);
  const json& first = got.extra[0]["logprobs"];
  EXPECT_EQ(first["tokens"][0], " had");
  EXPECT_LT(first["token_logprobs"][0].get<double>(), 0);
  EXPECT_EQ(first["top_logprobs"][0].size(), 2U);
  EXPECT_EQ(first["top_logprobs"][0][" had"], first["token_logprobs"][0]);
  EXPECT_EQ(got.extra[1]["logprobs"]["text_offset"][0], 4);
  const json chat = {{"messages", {{{"role", "user"}, {"content", king}}}},
                     {"temperature", 0},
                     {"max_tokens", 1},
                     {"logprobs", true},
                     {"top_logprobs", 3}};
  EXPECT_EQ(
      client.run(CONSORT_CHAT, chat).extra.at(0)["logprobs"]["content"][0]["top_logprobs"].size(),
      3U);
}

TEST_F(Generation, ClosingWithWorkInFlightSendsNothingMore) {
  for (std::uint64_t id = 0; id < 12; ++id)
    ASSERT_EQ(client.submit(id, CONSORT_COMPLETION, greedy(king, 400).dump()), CONSORT_OK);
  (void)client.wait_for_tokens(0, 1);
  client.close();
  EXPECT_FALSE(client.wait_for_tokens(0, 1).ended());
}

} // namespace
} // namespace consort::llama_test
