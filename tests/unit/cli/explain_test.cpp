// SPDX-License-Identifier: Apache-2.0
#include "cli/explain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// In the admin API's shape: first compiling, then a ticket.
json explanation() {
  return json::parse(R"text({
    "request": { "external_id": "r1", "model": "m", "state": "running", "device": "n/npu0",
                 "attempts": 1, "age_us": 1500000 },
    "decisions": [
      { "attempt": 0, "at": 1000000, "policy": "latency", "outcome": "compiling",
        "reason": "engine for refnpu-1 is being built", "winner": "",
        "candidates": [ { "device": "n/npu0", "instance": 0, "removed_by": "artifact",
                          "reason": "no engine yet", "score": 0, "terms": [] } ],
        "candidates_total": 41 },
      { "attempt": 1, "at": 2000000, "policy": "latency", "outcome": "ticket", "reason": "",
        "winner": "n/npu0",
        "candidates": [
          { "device": "n/npu0", "instance": 4, "removed_by": "", "reason": "", "score": 12000,
            "terms": [ { "name": "queue", "value": 2000 },
                       { "name": "prefill", "value": 10000 } ] },
          { "device": "n/cpu0", "instance": 5, "removed_by": "", "reason": "", "score": 90000,
            "terms": [ { "name": "prefill", "value": 90000 } ] } ],
        "candidates_total": 2 }
    ],
    "outcome": "" })text");
}

TEST(Explain, TellsOutcomeWinnerScoresAndReasons) {
  const auto text = render_explanation(explanation(), false, false);
  for (const auto* part :
       {"Request r1 for m: running on n/npu0, 1 attempt(s), age 1.5s", "Decision 1 at 1s (latency)",
        "compiling", "engine for refnpu-1 is being built", "removed by artifact", "no engine yet",
        "and 40 more candidates", "Decision 2 at 2s (latency): ticket -> n/npu0, attempt 1",
        "winner", "12ms", "queue 2ms + prefill 10ms", "passed", "90ms"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("prefill 90ms")));
}

TEST(Explain, WideShowsTheTermsOfEveryCandidate) {
  EXPECT_THAT(render_explanation(explanation(), true, false), HasSubstr("prefill 90ms"));
}

/// A score of 0 would be the best.
TEST(Explain, ShowsNoScoreOfWhoWasNotWeighed) {
  auto waits = explanation();
  waits["decisions"][0]["candidates"][0]
      = json{{"device", "n/cpu0"}, {"instance", 5},
             {"removed_by", ""},   {"reason", "not weighed in this decision"},
             {"score", 0},         {"terms", json::array()}};
  const auto text = render_explanation(waits, false, false);
  EXPECT_THAT(text, HasSubstr("not weighed in this decision"));
  EXPECT_THAT(text, Not(HasSubstr("0us")));
  waits["decisions"] = json::array({waits["decisions"][0]});
  EXPECT_THAT(render_explanation(waits, false, false), Not(HasSubstr("passed")));
}

TEST(Explain, PrefersTheOutcomeOnceThereIsOne) {
  auto ended = explanation();
  ended["outcome"] = "finished";
  EXPECT_THAT(render_explanation(ended, false, false), HasSubstr("for m: finished"));
}

TEST(Explain, SurvivesAnAnswerWithNothingInIt) {
  EXPECT_THAT(render_explanation(json::object(), true, true), HasSubstr("Request"));
}

} // namespace
} // namespace consort::cli
