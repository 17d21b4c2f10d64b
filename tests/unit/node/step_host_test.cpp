// SPDX-License-Identifier: Apache-2.0
// A vendor's runtime of the level `step` in real host processes: what it does right becomes
// answers, what it does wrong costs its own instance and is told in words.
#include "tests/unit/node/hosted_runtime.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

namespace consort::node::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class StepHost : public HostedRuntime {
protected:
  StepHost() {
    options.library = CONSORT_BINARY_DIR "/lib/consort/libconsort-step.so";
    wanted.path = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf"; // For its vocabulary.
    set(CONSORT_FAKE_STEPPER);
  }
  void set(const std::string& library, const std::string& fault = "") {
    options.config_json = json{{"step_library", library}, {"fault", fault}}.dump();
  }
  session load(const std::string& fault = "") {
    set(CONSORT_FAKE_STEPPER, fault);
    return must_open();
  }
  error refusal(const std::string& library, const std::string& fault = "") {
    runtime.reset();
    set(library, fault);
    const auto opened = open();
    EXPECT_FALSE(opened.ok()) << fault;
    return opened ? error{} : opened.failure();
  }
  static std::string prompt(int tokens, int choices = 1) {
    return json{{"prompt", {5, 100}},
                {"max_tokens", tokens},
                {"temperature", 0},
                {"ignore_eos", true},
                {"n", choices}}
        .dump();
  }
  static std::vector<std::int32_t> ids_of(const std::vector<attempt_event>& events) {
    std::vector<std::int32_t> ids;
    for (const auto& event : events)
      if (const auto* tokens = std::get_if<attempt_tokens>(&event))
        ids.insert(ids.end(), tokens->token_ids.begin(), tokens->token_ids.end());
    return ids;
  }
};

TEST_F(StepHost, TurnsStepsIntoAnswers) {
  const auto loaded = load();
  EXPECT_EQ(ids_of(submit(loaded, 1, prompt(3))->wait_end()),
            (std::vector<std::int32_t>{101, 102, 103}));
  EXPECT_EQ(loaded->stats().capacity.sequences.value, 4u);
  std::vector<std::shared_ptr<attempt_recorder>> many;
  for (std::uint64_t number = 2; number < 12; ++number)
    many.push_back(submit(loaded, number, prompt(5)));
  for (const auto& one : many)
    EXPECT_EQ(ids_of(one->wait_end()), (std::vector<std::int32_t>{101, 102, 103, 104, 105}));
  EXPECT_EQ(ids_of(submit(loaded, 20, prompt(2, 3))->wait_end()).size(), 6u) << "copied slots";
}

TEST_F(StepHost, CancelsAndGoesOn) {
  const auto loaded = load();
  const auto sink = submit(loaded, 1, prompt(100));
  sink->wait_count(2);
  loaded->cancel(attempt(1));
  const auto code = sink->failure().failure.code;
  EXPECT_TRUE(code == "cancelled" || code == "none") << code;
  EXPECT_EQ(ids_of(submit(loaded, 2, prompt(1))->wait_end()).size(), 1u);
}

TEST_F(StepHost, ThatDoesNotFitIsRefusedInWords) {
  EXPECT_THAT(refusal(CONSORT_FAKE_STEP_WRONG_ABI).message, HasSubstr("speaks step ABI 2"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEP_NO_SYMBOL).message, HasSubstr("consort_step_runtime"));
  EXPECT_THAT(refusal("/nowhere/lib.so").message, HasSubstr("/nowhere/lib.so"));
  EXPECT_THAT(refusal(CONSORT_FAKE_RUNTIME).message, HasSubstr("exports no"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "refuse").message, HasSubstr("no licence"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "bad_model").message, HasSubstr("another chip"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "no_stepper").message, HasSubstr("no stepper"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "no_facts").message,
              HasSubstr("did not tell its facts"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "few_rows").message, HasSubstr("one for each slot"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "long_context").message,
              HasSubstr("its facts make no sense: context 4000000000 (from 1 to 1048576)"));
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER, "small_vocabulary").message, HasSubstr("for 7"));
  wanted.path = CONSORT_FAKE_STEPPER;
  EXPECT_THAT(refusal(CONSORT_FAKE_STEPPER).message, HasSubstr("GGUF"));
}

TEST_F(StepHost, WhoseTableIsTooSmallToSayItsAbiIsRefused) {
  options.env = {"FAKE_STEP_SMALL=1"};
  const auto refused = refusal(CONSORT_FAKE_STEPPER);
  EXPECT_EQ(refused.code, "load_refused");
  EXPECT_THAT(refused.message, HasSubstr("of 8 bytes"));
}

TEST_F(StepHost, ThatCrashesOrHangsAtItsStartIsGivenUp) {
  EXPECT_EQ(refusal(CONSORT_FAKE_STEPPER, "crash").code, "runtime_died");
  runtime.reset();
  options.bounds.start_us = 300'000;
  EXPECT_EQ(refusal(CONSORT_FAKE_STEPPER, "hang").code, "runtime_start_timeout");
}

TEST_F(StepHost, ThatCrashesCostsItsInstance) {
  const auto loaded = load("step_crash");
  EXPECT_EQ(submit(loaded, 1, prompt(50))->failure().failure.code, "runtime_died");
  EXPECT_THAT(wait_death().message, HasSubstr("signal 11"));
}

TEST_F(StepHost, ThatCrashesWhereNothingIsSaidCostsItsInstanceToo) {
  const auto loaded = load("crash_drop");
  submit(loaded, 1, prompt(2))->wait_end();
  EXPECT_EQ(wait_death().code, "runtime_died");
}

TEST_F(StepHost, ThatHangsIsKilledOnceItDoesNotHeedACancel) {
  options.bounds.cancel_us = 200'000;
  const temp_folder folder;
  const auto told = folder / "hangs";
  ASSERT_EQ(::mkfifo(told.c_str(), 0600), 0);
  const int fifo = ::open(told.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(fifo, 0);
  options.config_json
      = json{{"step_library", CONSORT_FAKE_STEPPER}, {"fault", "step_hang"}, {"told", told}}.dump();
  const auto loaded = must_open();
  submit(loaded, 1, prompt(50));
  pollfd ready{fifo, POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 20'000), 1) << "it never hung";
  loaded->cancel(attempt(1));
  EXPECT_EQ(wait_death().code, "runtime_died");
  ::close(fifo);
}

TEST_F(StepHost, FailedStepsEndWhatRunsAndNothingElse) {
  const std::vector<std::pair<const char*, const char*>> faults{
      {"step_fail", "the engine failed"},
      {"step_odd", "it said nothing, and status 99, which the ABI does not know"},
      {"no_logits", "its step gave no logits for row 0"},
      {"nan_logits", "its logits are no numbers, in row 0"},
      {"inf_logits", "its logits are no numbers, in row 0"},
      {"barred_logits", "its logits are no numbers, in row 0"},
      {"step_busy", "busy though nobody interrupted it"}};
  for (const auto& [fault, words] : faults) {
    auto loaded = load(fault);
    const auto failed = submit(loaded, 1, prompt(50))->failure();
    EXPECT_EQ(failed.failure.code, "engine_failed") << fault;
    EXPECT_NE(failed.failure.message.find(words), std::string::npos) << failed.failure.message;
    EXPECT_TRUE(failed.device_fault);
    EXPECT_EQ(ids_of(submit(loaded, 2, prompt(2))->wait_end()).size(), 2u) << fault;
    loaded.reset();
    runtime.reset();
  }
  EXPECT_FALSE(died());
}

TEST_F(StepHost, WithoutCopiesOneChoiceIsServed) {
  options.env = {"FAKE_STEP_NO_COPY=1"};
  const auto loaded = load();
  EXPECT_EQ(submit(loaded, 1, prompt(2, 2))->failure().failure.action, recovery::refuse);
  EXPECT_EQ(ids_of(submit(loaded, 2, prompt(2))->wait_end()).size(), 2u);
}

TEST_F(StepHost, CopiesThatFailEndTheirRequest) {
  const auto loaded = load("bad_copy");
  EXPECT_EQ(submit(loaded, 1, prompt(2, 2))->failure().failure.code, "engine_failed");
  EXPECT_EQ(ids_of(submit(loaded, 2, prompt(2))->wait_end()).size(), 2u);
}

} // namespace
} // namespace consort::node::test
