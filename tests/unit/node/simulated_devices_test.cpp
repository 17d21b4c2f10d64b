// SPDX-License-Identifier: Apache-2.0
// Simulated devices against a clock that the test moves.
#include "node/runtimes/server_errors.hpp"
#include "node/simulated/devices.hpp"
#include "node/simulated/limits.hpp"
#include "tests/unit/node/attempt_recorder.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace consort::node {
namespace {

constexpr duration_us ms = 1'000;

/// 100 tokens a second alone, prompts at 1,000 a second, loads in 50 ms, 16 tokens' memory beside
/// its weights.
sim::device_model_ptr small_device() {
  auto made = *sim::find_device_model("cpu-local");
  made.points = sim::points_of_rates(1'000, 100, 500);
  made.load_us = 50 * ms;
  made.max_sequences = 2;
  return std::make_shared<const sim::device_model>(std::move(made));
}

class SimulatedDevices : public ::testing::Test {
protected:
  SimulatedDevices() { devices_.run_until(now_); }

  void pass(duration_us span) {
    // In small steps, as a timer would.
    for (const auto end = now_ + span; now_ < end;) {
      now_ = std::min<time_us>(end, now_ + ms);
      devices_.run_until(now_);
    }
  }

  session_request order(const std::string& uuid, std::uint64_t instance = 1) {
    session_request made;
    made.instance = instance_id(instance);
    for (const auto& spec : devices_.specs())
      if (spec.uuid == uuid)
        made.device = spec;
    made.model = model_name("storyteller");
    made.variant.weight_bytes = 10'000'000;
    made.variant.kv_bytes_per_token = 1'000;
    made.memory_bytes = 11'000'000; // 1,000 tokens.
    made.variant.context_tokens = context_tokens_;
    return made;
  }

  simulated_devices::session_number load() {
    devices_.open(
        order("simulated-edge-00"),
        [this](result<simulated_devices::session_number> which) {
          which ? session_ = *which : 0;
          if (!which)
            failure_ = which.failure();
        },
        [this](const error& why) { death_ = why; });
    pass(60 * ms);
    return session_;
  }

  std::shared_ptr<test::attempt_recorder> ask(std::uint64_t number, std::uint32_t tokens,
                                              resume_state resume = {}) {
    auto sink = std::make_shared<test::attempt_recorder>();
    attempt_body body;
    body.json = R"({"model":"storyteller","prompt":"Once upon a time","max_tokens":)"
                + std::to_string(tokens) + "}";
    body.resume = std::move(resume);
    devices_.submit(session_, test::attempt(number), body, sink);
    return sink;
  }

  simulated_troubles on_cpu(const device_trouble& wanted) {
    simulated_troubles made;
    made.devices["cpu0"] = wanted;
    return made;
  }

  time_us now_ = 1'000'000;
  simulated_devices devices_{
      {"edge", {small_device(), sim::find_device_model("refnpu-1")}, {}, {}, 1}};
  simulated_devices::session_number session_ = 0;
  std::uint32_t context_tokens_ = 0; ///< Of the model; 0 = unbounded.
  std::optional<error> failure_, death_;
};

TEST_F(SimulatedDevices, SayThatTheyAreSimulated) {
  const auto specs = devices_.specs();
  ASSERT_EQ(specs.size(), 2U);
  for (const auto& spec : specs) {
    EXPECT_TRUE(spec.simulated);
    EXPECT_THAT(spec.uuid, testing::StartsWith("simulated-edge-"));
    EXPECT_THAT(spec.attributes, testing::Contains(testing::Key("simulated")));
  }
  EXPECT_THAT(specs[0].capability.formats, testing::ElementsAre("simulated"))
      << "no real model is ever loaded on it";
  EXPECT_TRUE(specs[1].capability.formats.empty());
  EXPECT_EQ(devices_.toolchains().size(), 1U);
}

TEST_F(SimulatedDevices, AnswerAtTheirModelsPace) {
  ASSERT_NE(load(), 0U);
  const auto sink = ask(1, 5);
  pass(4 * ms);
  EXPECT_EQ(sink->text(), "") << "five prompt tokens take five milliseconds";
  pass(16 * ms);
  EXPECT_EQ(sink->text(), "sim0 sim1 ");
  pass(40 * ms);
  EXPECT_EQ(sink->text(), "sim0 sim1 sim2 sim3 sim4 ");
  const auto events = sink->wait_end();
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(events.back()));
  const auto& ended = std::get<attempt_completed>(events.back());
  EXPECT_EQ(ended.usage.prompt_tokens, 5U);
  EXPECT_EQ(ended.usage.completion_tokens, 5U);
  EXPECT_EQ(std::get<attempt_tokens>(events[1]).extra_json, R"({"simulated":true})");
  EXPECT_EQ(devices_.stats(session_).tokens_generated_total, 5U);
}

TEST_F(SimulatedDevices, GoOnBehindWhatWasEmittedElsewhere) {
  load();
  const auto sink = ask(1, 4, {"sim0 sim1 ", {0, 1}, 2});
  pass(200 * ms);
  EXPECT_EQ(sink->text(), "sim2 sim3 ");
}

TEST_F(SimulatedDevices, StopWhatIsCancelledAndRefuseWhatNeverFits) {
  load();
  const auto left = ask(1, 100);
  pass(30 * ms);
  devices_.cancel(session_, test::attempt(1));
  EXPECT_EQ(left->failure().failure.code, "cancelled");
  EXPECT_EQ(devices_.stats(session_).cancelled_total, 1U);
  const auto large = ask(2, 996);
  EXPECT_EQ(large->failure().failure.code, "context_overflow");
  const auto fits = ask(3, 995);
  EXPECT_EQ(fits->terminals(), 0U);
}

TEST_F(SimulatedDevices, RefuseAPromptThatLeavesNoRoomInTheContext) {
  context_tokens_ = 6;
  load();
  EXPECT_EQ(ask(1, 2)->terminals(), 0U) << "five tokens";
  EXPECT_EQ(ask(2, 4, {"sim0 ", {0}, 1})->terminals(), 0U) << "what was emitted is no prompt";
  context_tokens_ = 5;
  load();
  const auto refused = ask(3, 2)->failure();
  EXPECT_EQ(refused.failure.code, "context_length_exceeded");
  EXPECT_EQ(refused.failure.action, recovery::refuse);
  EXPECT_FALSE(refused.device_fault);
}

TEST_F(SimulatedDevices, UnloadingEndsWhatRuns) {
  load();
  const auto sink = ask(1, 100);
  devices_.close(session_);
  EXPECT_EQ(sink->failure().failure.code, "unloaded");
  EXPECT_FALSE(sink->failure().device_fault);
}

TEST_F(SimulatedDevices, ALoadIsGivenUp) {
  devices_.open(
      order("simulated-edge-00", 7),
      [this](result<simulated_devices::session_number> which) { failure_ = which.failure(); },
      [](const error&) {});
  devices_.abandon(instance_id(7));
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code, "load_abandoned");
  pass(100 * ms);
}

TEST_F(SimulatedDevices, InstancesOverSeveralDevicesAreRefused) {
  auto wide = order("simulated-edge-00");
  wide.place.degree = 2;
  devices_.open(
      wide, [this](result<simulated_devices::session_number> which) { failure_ = which.failure(); },
      [](const error&) {});
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code, "not_simulated");
}

TEST_F(SimulatedDevices, RunSlowerWithoutAWordOrHot) {
  load();
  devices_.trouble(on_cpu({.factor = 4}));
  const auto sink = ask(1, 3);
  pass(70 * ms);
  EXPECT_EQ(sink->text(), "sim0 sim1 ") << "20 ms of prompt, 40 ms of a token";
  EXPECT_FALSE(devices_.read().at("simulated-edge-00").temperature_mc);
  devices_.trouble(on_cpu({.factor = 4, .hot = true}));
  EXPECT_EQ(devices_.read().at("simulated-edge-00").health, device_health::degraded);
  EXPECT_EQ(devices_.read().at("simulated-edge-00").health_reason, sim::throttled_words);
}

TEST_F(SimulatedDevices, DieOnceForEachCrash) {
  devices_.trouble(on_cpu({.crashes = 3})); // Before this process began.
  load();
  const auto sink = ask(1, 100);
  devices_.trouble(on_cpu({.crashes = 3}));
  EXPECT_FALSE(death_);
  devices_.trouble(on_cpu({.crashes = 4}));
  ASSERT_TRUE(death_);
  EXPECT_EQ(death_->code, "runtime_died");
  EXPECT_TRUE(sink->failure().device_fault);
  EXPECT_EQ(ask(2, 5)->failure().failure.code, "runtime_died");
  pass(100 * ms);
}

TEST_F(SimulatedDevices, DoNotLoadWhileTheyCrashOrAreFull) {
  devices_.trouble(on_cpu({.crashing = true}));
  load();
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code, "runtime_died");
  devices_.trouble(on_cpu({.full = true}));
  load();
  EXPECT_EQ(failure_->code, "out_of_memory");
  devices_.trouble({});
  EXPECT_NE(load(), 0U);
}

TEST_F(SimulatedDevices, AnswerWithAStatusInsteadOfWorking) {
  load();
  std::uint64_t number = 0;
  // What a real server's answer means, and nothing else.
  for (const auto status :
       {400U, 401U, 402U, 404U, 408U, 413U, 422U, 429U, 498U, 500U, 502U, 503U, 504U, 529U, 599U}) {
    devices_.trouble(on_cpu({.status = status, .share = 1}));
    const auto said = ask(++number, 5)->failure();
    const auto real = judge_refusal(status, "{}");
    EXPECT_EQ(said.failure.action, real.failure.action) << status;
    EXPECT_EQ(said.failure.code, real.failure.code) << status;
    EXPECT_EQ(said.device_fault, real.device_fault) << status;
  }
}

TEST_F(SimulatedDevices, ASleepIsLeftOutAndLatenessIsMadeUpFor) {
  load();
  const auto sink = ask(1, 100);
  pass(50 * ms);
  const auto before = devices_.stats(session_).tokens_generated_total;
  now_ += limits::paced_slip_us / 2; // Late, and then all at once.
  devices_.run_until(now_);
  EXPECT_GE(devices_.stats(session_).tokens_generated_total, before + 12);
  const auto then = devices_.stats(session_).tokens_generated_total;
  now_ += 10 * limits::paced_slip_us; // Stopped, its device with it.
  devices_.run_until(now_);
  EXPECT_LE(devices_.stats(session_).tokens_generated_total, then + 1);
}

class SimulatedBuilds : public SimulatedDevices {
protected:
  std::uint64_t build() {
    compile_request wanted;
    wanted.key.profile = devices_.toolchains().front();
    wanted.model_path = folder_.write("small.sim", R"({"simulated_model": "small",
      "weight_bytes": 10000, "kv_bytes_per_token": 10, "context_tokens": 512})");
    wanted.output_path = folder_ / "out";
    return devices_.build(
        wanted, [this](std::uint32_t done_pm) { marks_.push_back(done_pm); },
        [this](result<compile_outcome> ended) { outcome_.emplace(std::move(ended)); });
  }

  test::temp_folder folder_;
  std::vector<std::uint32_t> marks_;
  std::optional<result<compile_outcome>> outcome_;
};

TEST_F(SimulatedBuilds, TakeTheirTimeAndWriteSomethingOfThatSize) {
  build();
  pass(3'990 * ms);
  EXPECT_FALSE(outcome_);
  pass(20 * ms);
  ASSERT_TRUE(outcome_ && outcome_->ok());
  EXPECT_EQ((**outcome_).took_us, 4'000 * ms);
  EXPECT_THAT(marks_, testing::ElementsAre(250, 500, 750));
  EXPECT_EQ(std::filesystem::file_size(folder_ / "out"), 5'000U);
}

TEST_F(SimulatedBuilds, FailHangAndAreCancelled) {
  simulated_troubles menu;
  menu.compilers = compiler_trouble::refuse;
  devices_.trouble(menu);
  build();
  pass(5'000 * ms);
  ASSERT_TRUE(outcome_ && !outcome_->ok());
  EXPECT_EQ(outcome_->failure().action, recovery::refuse);
  outcome_.reset();
  menu.compilers = compiler_trouble::hang;
  devices_.trouble(menu);
  build();
  pass(60'000 * ms);
  EXPECT_FALSE(outcome_);
  devices_.trouble({});
  ASSERT_TRUE(outcome_ && !outcome_->ok());
  EXPECT_EQ(outcome_->failure().code, "compile_timeout");
  outcome_.reset();
  devices_.cancel_build(build());
  pass(5'000 * ms);
  EXPECT_FALSE(outcome_);
}

} // namespace
} // namespace consort::node
