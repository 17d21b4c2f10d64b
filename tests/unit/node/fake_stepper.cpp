// SPDX-License-Identifier: Apache-2.0
/// A vendor's shared object of the level `step` with a fault menu. The model that it computes says
/// after every token the next one of the vocabulary. What it does wrong is asked for by
/// {"fault": word} in the JSON of `open`: hang, crash, refuse, bad_model, no_stepper, no_facts,
/// few_rows, small_vocabulary, long_context; at the fourth step: step_crash, step_hang, step_fail,
/// step_odd, step_busy, no_logits, nan_logits, inf_logits, barred_logits; and crash_drop,
/// crash_close, bad_copy.
/// {"told": path}: what a step_hang writes a byte into once it hangs. FAKE_STEP_NO_COPY in its
/// environment: it cannot copy slots; FAKE_STEP_SMALL: its table ends before it says its ABI. Two
/// other libraries are built from this file: FAKE_STEP_WRONG_ABI and FAKE_STEP_NO_SYMBOL.

#include "node/plugin_step_abi.h"

#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

struct consort_stepper {
  std::string fault;
  std::string told;
  std::uint32_t vocabulary = 0;
  std::uint32_t steps = 0;
  std::vector<std::vector<float>> logits;
};

namespace {

[[noreturn]] void hang() {
  for (;;)
    ::pause();
}

[[noreturn]] void die() {
  std::signal(SIGSEGV, SIG_DFL);
  ::kill(::getpid(), SIGSEGV);
  hang();
}

int say(char* message, std::size_t bytes, const char* text, int status) {
  std::snprintf(message, bytes, "%s", text);
  return status;
}

int open(const char* config_json, consort_stepper** out, char* message, std::size_t bytes) {
  const auto config = nlohmann::json::parse(config_json);
  const auto fault = config.value("fault", "");
  if (fault == "hang")
    hang();
  if (fault == "crash")
    die();
  if (fault == "refuse")
    return say(message, bytes, "no licence", CONSORT_REFUSED);
  if (fault == "bad_model")
    return say(message, bytes, "built for another chip", CONSORT_BAD_MODEL);
  if (fault == "no_stepper")
    return CONSORT_OK;
  *out = new consort_stepper;
  (*out)->fault = fault;
  (*out)->told = config.value("told", "");
  (*out)->vocabulary = config.value("vocabulary", 2048U);
  return CONSORT_OK;
}

void close_stepper(consort_stepper* stepper) {
  if (stepper->fault == "crash_close")
    die();
  delete stepper;
}

int facts(consort_stepper* stepper, consort_step_facts* into) {
  into->vocabulary = stepper->fault == "small_vocabulary" ? 7 : stepper->vocabulary;
  into->slots = 4;
  into->context_tokens = stepper->fault == "long_context" ? 4'000'000'000U : 128;
  into->step_tokens = stepper->fault == "few_rows" ? 1 : 16;
  return stepper->fault == "no_facts" ? CONSORT_FAILED : CONSORT_OK;
}

int misbehave(const consort_stepper& stepper, char* message, std::size_t bytes) {
  if (stepper.steps != 4)
    return CONSORT_OK;
  if (stepper.fault == "step_crash")
    die();
  if (stepper.fault == "step_hang") {
    std::ofstream(stepper.told) << '!' << std::flush;
    hang();
  }
  if (stepper.fault == "step_fail")
    return say(message, bytes, "ECC error in bank 3", CONSORT_FAILED);
  if (stepper.fault == "step_odd")
    return 99;
  return stepper.fault == "step_busy" ? CONSORT_BUSY : CONSORT_OK;
}

int step(consort_stepper* stepper, const consort_step_row* rows, std::size_t row_count,
         const float** logits, char* message, std::size_t bytes) {
  ++stepper->steps;
  if (const int status = misbehave(*stepper, message, bytes); status != CONSORT_OK)
    return status;
  stepper->logits.clear();
  for (std::size_t at = 0; at < row_count; ++at) {
    auto& one = stepper->logits.emplace_back(stepper->vocabulary, 0.0F);
    const auto next = (static_cast<std::uint32_t>(rows[at].token) + 1) % stepper->vocabulary;
    one[next] = 10.0F;
    constexpr auto infinity = std::numeric_limits<float>::infinity();
    if (stepper->steps == 4 && stepper->fault == "nan_logits")
      one.back() = std::numeric_limits<float>::quiet_NaN();
    else if (stepper->steps == 4 && stepper->fault == "inf_logits")
      one.back() = infinity;
    else if (stepper->steps == 4 && stepper->fault == "barred_logits")
      one.assign(one.size(), -infinity);
    if (rows[at].wants_logits != 0 && !(stepper->fault == "no_logits" && stepper->steps == 4))
      logits[at] = one.data();
  }
  return CONSORT_OK;
}

void drop(consort_stepper* stepper, std::uint32_t) {
  if (stepper->fault == "crash_drop")
    die();
}

int copy(consort_stepper* stepper, std::uint32_t, std::uint32_t) {
  return stepper->fault == "bad_copy" ? CONSORT_FAILED : CONSORT_OK;
}

} // namespace

#ifdef FAKE_STEP_NO_SYMBOL
#define EXPORTED another_symbol
#else
#define EXPORTED consort_step_runtime
#endif
#ifdef FAKE_STEP_WRONG_ABI
constexpr std::uint32_t spoken = CONSORT_STEP_ABI + 1;
#else
constexpr std::uint32_t spoken = CONSORT_STEP_ABI;
#endif

extern "C" __attribute__((visibility("default"))) const consort_step_table* EXPORTED() {
  // Before `open` nobody can ask for a fault but by the environment.
  static const bool copies = std::getenv("FAKE_STEP_NO_COPY") == nullptr;
  static const bool small = std::getenv("FAKE_STEP_SMALL") != nullptr;
  static const consort_step_table table{small ? sizeof(std::size_t) : sizeof table,
                                        spoken,
                                        "fake",
                                        "1.0",
                                        open,
                                        close_stepper,
                                        facts,
                                        step,
                                        drop,
                                        copies ? copy : nullptr,
                                        nullptr};
  return &table;
}
