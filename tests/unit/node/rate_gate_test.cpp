// SPDX-License-Identifier: Apache-2.0
// Goal: a server that counts is never sent more than it allows, and every way to say "later" is
// understood.
#include "node/runtimes/rate_gate.hpp"

#include "node/runtimes/wait_times.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

using limits::second_us;
constexpr std::int64_t now_s = 1'767'225'600; // 2026-01-01T00:00:00Z

TEST(WaitTimes, EveryFormIsUnderstood) {
  struct form {
    const char* text;
    std::int64_t ms;
  };
  for (const auto& [text, ms] : {form{"12", 12'000},
                                 form{"0", 0},
                                 form{" 0.5 ", 500},
                                 form{"12ms", 12},
                                 form{"1s", 1'000},
                                 form{"6m0s", 360'000},
                                 form{"1m26.4s", 86'400},
                                 form{"1h", 3'600'000},
                                 form{"2d", 3'600'000},
                                 form{"1767225610", 10'000},
                                 form{"1767225612500", 12'500},
                                 form{"1767225500", 0},
                                 form{"Thu, 01 Jan 2026 00:01:00 GMT", 60'000},
                                 form{"Wed, 31 Dec 2025 00:00:00 GMT", 0},
                                 form{"2026-01-01T00:00:07Z", 7'000},
                                 form{"2026-01-01T00:00:07.250Z", 7'000},
                                 form{"2m59.56s", 179'560},
                                 form{"33011.382867", 3'600'000},
                                 form{"20ms", 20},
                                 form{"1h2m3s", 3'600'000},
                                 form{"2026-01-01T02:00:07+02:00", 7'000},
                                 form{"2025-12-31T16:30:07.5-07:30", 7'000},
                                 form{"Thursday, 01-Jan-26 00:01:00 GMT", 60'000},
                                 form{"Thu Jan  1 00:00:30 2026", 30'000}}) {
    const auto wait = parse_wait(text, now_s);
    ASSERT_TRUE(wait) << text;
    EXPECT_EQ(*wait, ms * 1000) << text;
  }
  for (const auto* text : {"", " ", "soon", "-1", "5 minutes", "6m0", "1x", "nan", "inf", "1e999",
                           "Thu, 01 Foo 2026 00:01:00 GMT", "2026-01-01T00:00:07Zx",
                           "2026-01-01T00:00:07+0200", "2026-01-01T00:00:07+02:00x"})
    EXPECT_FALSE(parse_wait(text, now_s)) << text;
  EXPECT_FALSE(parse_wait(std::string(limits::server_wait_bytes_max + 1, '1'), now_s));
  EXPECT_EQ(parse_wait("999999", now_s), limits::server_closed_us_max);
}

TEST(RateHeaders, AreReadByAllTheirNames) {
  using headers = std::vector<std::pair<std::string, std::string>>;
  const auto read = [](const headers& all) {
    std::string out;
    for (const auto& one : read_rate_headers(all, now_s))
      out += (one.of_tokens ? "tokens " : "requests ") + std::to_string(one.remaining) + " for "
             + std::to_string(one.reset_us / 1000) + " ms; ";
    return out;
  };
  EXPECT_EQ(read({{"x-ratelimit-remaining-requests", "59"},
                  {"x-ratelimit-reset-requests", "1s"},
                  {"X-RateLimit-Remaining-Tokens", "0"},
                  {"X-RateLimit-Reset-Tokens", "6m0s"}}),
            "requests 59 for 1000 ms; tokens 0 for 360000 ms; ");
  EXPECT_EQ(read({{"x-ratelimit-remaining-tokens-per-minute", "100"},
                  {"x-ratelimit-reset-tokens-per-minute", "1767225630"},
                  {"x-ratelimit-remaining-tokens-per-day", "5"},
                  {"x-ratelimit-reset-tokens-per-day", "1767225660"}}),
            "tokens 5 for 60000 ms; ")
      << "the tightest span counts";
  EXPECT_EQ(read({{"ratelimit-remaining", "3"}, {"ratelimit-reset", "20"}}),
            "requests 3 for 20000 ms; ");
  EXPECT_EQ(read({{"x-ratelimit-remaining-requests", "-1"}, {"x-ratelimit-reset-requests", "0"}}),
            "")
      << "-1 stands for unknown";
  EXPECT_EQ(read({{"x-ratelimit-remaining-requests", "7"}}), "");
  headers many;
  for (std::size_t i = 0; i < limits::rate_headers_max + 9; ++i)
    many.emplace_back("x-ratelimit-remaining-" + std::to_string(i), "1");
  EXPECT_EQ(read(many), "");
  EXPECT_EQ(read_retry_after({{"Retry-After", "7"}}, now_s), 7 * second_us);
  EXPECT_EQ(read_retry_after({{"Retry-After", "7"}, {"retry-after-ms", "250"}}, now_s), 250'000);
  EXPECT_FALSE(read_retry_after({{"date", "7"}}, now_s));
}

/// One answer of each provider, with the names and forms that it documents or was seen to use.
struct provider_answer {
  const char* whose;
  std::vector<std::pair<std::string, std::string>> said;
  const char* wanted;
};

std::vector<provider_answer> provider_answers() {
  return {
      {"Azure, where nothing is known",
       {{"x-ratelimit-remaining-tokens", "-1"}, {"x-ratelimit-reset-tokens", "0"}},
       ""},
      {"Azure",
       {{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "10"}},
       "requests 0 for 10000 ms; "},
      {"Groq, requests of a day and tokens of a minute",
       {{"x-ratelimit-remaining-requests", "14370"},
        {"x-ratelimit-reset-requests", "2m59.56s"},
        {"x-ratelimit-remaining-tokens", "17997"},
        {"x-ratelimit-reset-tokens", "7.66s"}},
       "requests 14370 for 179560 ms; tokens 17997 for 7660 ms; "},
      {"Anthropic; its tokens to be written bind nothing while some are left",
       {{"anthropic-ratelimit-requests-remaining", "49"},
        {"anthropic-ratelimit-requests-reset", "2026-01-01T00:00:02Z"},
        {"anthropic-ratelimit-tokens-remaining", "39000"},
        {"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:04Z"},
        {"anthropic-ratelimit-output-tokens-remaining", "8000"},
        {"anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:05Z"}},
       "requests 49 for 2000 ms; tokens 39000 for 4000 ms; "},
      {"Anthropic, when none are left to be written",
       {{"anthropic-ratelimit-output-tokens-remaining", "0"},
        {"anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:05Z"}},
       "tokens 0 for 5000 ms; "},
      {"Mistral of old, which counts tokens alone",
       {{"ratelimitbysize-remaining", "1200"}, {"ratelimitbysize-reset", "12"}},
       "tokens 1200 for 12000 ms; "},
      {"Mistral, which does not say when",
       {{"x-ratelimit-remaining-req-minute", "0"},
        {"x-ratelimit-remaining-tokens-minute", "4999911"},
        {"x-ratelimit-tokens-query-cost", "52"}},
       "requests 0 for 60000 ms; tokens 4999911 for 60000 ms; "},
      {"Together",
       {{"x-ratelimit-remaining", "9"},
        {"x-ratelimit-reset", "1"},
        {"x-tokenlimit-remaining", "5000"},
        {"x-tokenlimit-reset", "1"}},
       "requests 9 for 1000 ms; tokens 5000 for 1000 ms; "},
      {"Cerebras, of which the day is the tighter",
       {{"x-ratelimit-remaining-requests-day", "3"},
        {"x-ratelimit-reset-requests-day", "33.5"},
        {"x-ratelimit-remaining-tokens-minute", "7"},
        {"x-ratelimit-reset-tokens-minute", "11.4"}},
       "requests 3 for 33500 ms; tokens 7 for 11400 ms; "},
      {"OpenRouter, by milliseconds since 1970",
       {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "1767225603000"}},
       "requests 0 for 3000 ms; "},
      {"the field that is to be the standard, of two limits",
       {{"RateLimit", R"("burst";r=3;t=2, "daily"; r=90; t=600)"}},
       "requests 3 for 2000 ms; "},
      {"its draft",
       {{"RateLimit", "limit=10, remaining=4, reset=50"}},
       "requests 4 for 50000 ms; "},
      {"noise",
       {{"RateLimit", "a;;,=,r=x;t="}, {"ratelimit-", "1"}, {"x-ratelimit-remainingless", "1"}},
       ""},
  };
}

TEST(RateHeaders, EachProvidersOwnAreRead) {
  for (const auto& [whose, said, wanted] : provider_answers()) {
    std::string out;
    for (const auto& one : read_rate_headers(said, now_s))
      out += (one.of_tokens ? "tokens " : "requests ") + std::to_string(one.remaining) + " for "
             + std::to_string(one.reset_us / 1000) + " ms; ";
    EXPECT_EQ(out, wanted) << whose;
  }
}

TEST(RateGate, NoMinuteHasMoreRequestsThanAllowed) {
  rate_gate gate({10, 0});
  std::vector<time_us> sent;
  for (time_us now = 0; now < 200 * second_us;) {
    const auto wait = gate.admit(now, 1);
    if (wait == 0)
      sent.push_back(now);
    now += wait > 0 ? wait : 700'000;
  }
  ASSERT_GT(sent.size(), 25U) << "and hardly fewer";
  for (std::size_t i = 10; i < sent.size(); ++i)
    EXPECT_GE(sent[i] - sent[i - 10], limits::rate_window_us);
}

TEST(RateGate, TokensAreEstimatedAndSettled) {
  rate_gate gate({0, 1'000});
  EXPECT_EQ(gate.admit(0, 900), 0);
  EXPECT_GT(gate.admit(second_us, 200), 0);
  gate.settle(0, 900, 300);
  EXPECT_EQ(gate.admit(second_us, 200), 0) << "it used less than was feared";
  EXPECT_GT(gate.admit(second_us, 600), 0);
  EXPECT_EQ(gate.admit(200 * second_us, 5'000), 0) << "one that is larger than a minute goes alone";
  EXPECT_GT(gate.admit(201 * second_us, 1), 0);
}

TEST(RateGate, WhatItsHeadersSayIsLeftIsNotExceeded) {
  rate_gate gate({});
  gate.heard(0, {{false, 2, 10 * second_us}, {true, 100, 20 * second_us}});
  EXPECT_EQ(gate.admit(1, 60), 0);
  EXPECT_EQ(gate.admit(2, 60), 20 * second_us - 2) << "too many tokens";
  EXPECT_EQ(gate.admit(3, 10), 0);
  EXPECT_EQ(gate.admit(4, 10), 10 * second_us - 4) << "no request is left";
  EXPECT_EQ(gate.closed_for(4), 10 * second_us - 4);
  EXPECT_EQ(gate.admit(11 * second_us, 10), 0) << "there are more again";
}

TEST(RateGate, ARefusalClosesItForAsLongAsWasAsked) {
  rate_gate gate({});
  gate.refused(0, 7 * second_us);
  EXPECT_EQ(gate.admit(second_us, 1), 6 * second_us);
  EXPECT_EQ(gate.admit(7 * second_us, 1), 0);
  gate.refused(0, 10 * limits::server_closed_us_max);
  EXPECT_EQ(gate.closed_for(0), limits::server_closed_us_max);
}

TEST(RateGate, WithoutAWordTheGuessDoubles) {
  rate_gate gate({});
  time_us now = 0;
  for (int i = 0; i < 3; ++i) {
    gate.refused(now, std::nullopt);
    EXPECT_EQ(gate.closed_for(now), limits::server_closed_guess_us << i);
    now += gate.closed_for(now);
  }
  gate.answered();
  gate.refused(now, std::nullopt);
  EXPECT_EQ(gate.closed_for(now), limits::server_closed_guess_us);
  for (int i = 0; i < 50; ++i)
    gate.refused(now, std::nullopt);
  EXPECT_EQ(gate.closed_for(now), limits::server_closed_guess_us_max);
}

} // namespace
} // namespace consort::node
