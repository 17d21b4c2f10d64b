// SPDX-License-Identifier: Apache-2.0
/// librefnpu-step.so: the reference accelerator at the level `step` of the C ABI. The same engines
/// as librefnpu.so on the same arithmetic, but tokens in and logits out: the host that loads it
/// brings everything else. Tells refnpu-smi nothing of its load.
#include "node/plugin_step_abi.h"
#include "node/plugins/llama/abi_session.hpp"
#include "node/plugins/llama/llama_steps.hpp"
#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/engine_file.hpp"
#include "node/plugins/reference/limits.hpp"

#include <algorithm>
#include <unistd.h>

/// An engine and the memory that its payload was unpacked to.
struct consort_stepper {
  consort_stepper() = default;
  ~consort_stepper() {
    if (payload >= 0)
      ::close(payload);
  }
  consort_stepper(const consort_stepper&) = delete;
  consort_stepper& operator=(const consort_stepper&) = delete;

  int payload = -1;
  std::string path; ///< Of the payload, a GGUF.
  consort::llama::model_ptr model;
  std::unique_ptr<consort::llama::llama_steps> steps; ///< Goes before the model.
};

namespace {

using namespace consort;
using namespace consort::reference;

result<std::unique_ptr<consort_stepper>> load(const llama::open_config& config) {
  if (!find_device(config.device))
    return error{recovery::retry_elsewhere, "no_device",
                 "no device '" + config.device + "' on this host; refnpu-smi lists them"};
  const auto header = read_engine_header(config.engine.model_path);
  if (!header)
    return header.failure();
  if (auto fits = check_compatible(*header, target_name, stack_version()); !fits)
    return fits.failure();
  if (header->degree != 1)
    return llama::bad_model(config.engine.model_path + ": built for several devices");
  const auto payload = extract_payload(config.engine.model_path, *header);
  if (!payload)
    return payload.failure();
  auto made = std::make_unique<consort_stepper>();
  made->payload = *payload;
  made->path = "/proc/self/fd/" + std::to_string(*payload);
  auto options = config.engine;
  options.model_path = made->path;
  options.sequences = std::min(options.sequences, limits::sequences_max);
  auto engine = llama::load_engine(options);
  if (!engine)
    return engine.failure();
  made->model = std::move(engine->model);
  made->steps = std::make_unique<llama::llama_steps>(std::move(engine->context),
                                                     engine->context_tokens, engine->sequences);
  return made;
}

int open(const char* config_json, consort_stepper** out, char* message, std::size_t message_bytes) {
  const auto config = llama::read_config(config_json);
  if (!config)
    return llama::report_failure(config.failure(), message, message_bytes);
  auto made = load(*config);
  if (!made)
    return llama::report_failure(made.failure(), message, message_bytes);
  *out = made->release();
  return CONSORT_OK;
}

void close_stepper(consort_stepper* stepper) {
  delete stepper;
}

int read_facts(consort_stepper* stepper, consort_step_facts* facts) {
  if (facts->size < sizeof(consort_step_facts))
    return CONSORT_REFUSED;
  facts->vocabulary = static_cast<std::uint32_t>(
      llama_vocab_n_tokens(llama_model_get_vocab(stepper->model.get())));
  facts->slots = stepper->steps->slots();
  facts->context_tokens = stepper->steps->context_tokens();
  facts->step_tokens = stepper->steps->rows_max();
  facts->vocabulary_gguf = stepper->path.c_str();
  return CONSORT_OK;
}

int step(consort_stepper* stepper, const consort_step_row* rows, std::size_t row_count,
         const float** logits, char* message, std::size_t message_bytes) {
  std::vector<llama::step_row> wanted;
  for (std::size_t at = 0; at < row_count; ++at)
    wanted.push_back(
        {rows[at].token, rows[at].slot, rows[at].position, rows[at].wants_logits != 0});
  std::string why;
  switch (stepper->steps->step(wanted, why)) {
  case llama::step_outcome::interrupted: return CONSORT_BUSY;
  case llama::step_outcome::failed:
    return llama::report_failure({recovery::retry_elsewhere, "engine_failed", why}, message,
                                 message_bytes);
  case llama::step_outcome::done: break;
  }
  for (std::size_t at = 0; at < row_count; ++at)
    logits[at] = wanted[at].wants_logits ? stepper->steps->logits(at).data() : nullptr;
  return CONSORT_OK;
}

void drop(consort_stepper* stepper, std::uint32_t slot) {
  stepper->steps->drop(slot);
}

int copy(consort_stepper* stepper, std::uint32_t from, std::uint32_t to) {
  return stepper->steps->copy(from, to) ? CONSORT_OK : CONSORT_FAILED;
}

void interrupt(consort_stepper* stepper) {
  stepper->steps->interrupt();
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_step_table* consort_step_runtime() {
  static const consort_step_table table{sizeof(consort_step_table),
                                        CONSORT_STEP_ABI,
                                        "refnpu",
                                        stack_version(),
                                        open,
                                        close_stepper,
                                        read_facts,
                                        step,
                                        drop,
                                        copy,
                                        interrupt};
  return &table;
}
