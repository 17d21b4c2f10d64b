// SPDX-License-Identifier: Apache-2.0
/// libconsort-step.so: makes a runtime of the level `generate` out of a vendor's of the level
/// `step`. Named by `runtime.level` in plugin.json; the config of its `open` is the vendor's, and
/// `step_library`, the vendor's object.
#include "node/plugins/llama/abi_session.hpp"
#include "node/plugins/llama/abi_steps.hpp"

namespace {

using namespace consort;

result<std::unique_ptr<consort_session>> open_steps(const llama::open_config& config,
                                                    const consort_sink& sink) {
  const auto library = config.json.find("step_library");
  if (library == config.json.end() || !library->is_string())
    return error{recovery::refuse, "invalid_request",
                 "'step_library' is missing: the path of the vendor's shared object"};
  if (auto loaded = llama::load_backends(config.engine.backend_dir); !loaded)
    return loaded.failure();
  auto steps = llama::abi_steps::open(library->get<std::string>(), config.json.dump());
  if (!steps)
    return steps.failure();
  const auto& named = (*steps)->vocabulary_path();
  auto words = llama::load_vocabulary(named.empty() ? config.engine.model_path : named);
  if (!words)
    return words.failure();
  const auto known = llama::vocabulary(**words).size();
  if (static_cast<std::uint32_t>(known) != (*steps)->vocabulary())
    return llama::bad_model("the vocabulary has " + std::to_string(known)
                            + " tokens, the runtime computes logits for "
                            + std::to_string((*steps)->vocabulary()));
  auto opened = std::make_unique<consort_session>();
  opened->engine = llama::session::around(
      std::move(*words), std::move(*steps),
      [sink](const consort_event& event) { sink.emit(sink.context, &event); });
  return opened;
}

int open(const char* config_json, const consort_sink* sink, consort_session** out, char* message,
         std::size_t message_bytes) {
  return llama::open_session(config_json, sink, out, message, message_bytes, open_steps);
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  static const consort_runtime_table table
      = consort::llama::make_table("step", CONSORT_VERSION, open);
  return &table;
}
