// SPDX-License-Identifier: Apache-2.0
/// libconsort-llama.so: GGUF models on whatever back-end llama.cpp finds. Exports one symbol.
#include "node/plugins/llama/abi_session.hpp"

namespace {

using namespace consort;

result<std::unique_ptr<consort_session>> open_gguf(const llama::open_config& config,
                                                   const consort_sink& sink) {
  auto engine = llama::session::open(
      config.engine, [sink](const consort_event& event) { sink.emit(sink.context, &event); });
  if (!engine)
    return engine.failure();
  auto opened = std::make_unique<consort_session>();
  opened->engine = std::move(*engine);
  return opened;
}

int open(const char* config_json, const consort_sink* sink, consort_session** out, char* message,
         std::size_t message_bytes) {
  return llama::open_session(config_json, sink, out, message, message_bytes, open_gguf);
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  static const consort_runtime_table table
      = consort::llama::make_table("llama", CONSORT_VERSION, open);
  return &table;
}
