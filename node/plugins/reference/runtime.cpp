// SPDX-License-Identifier: Apache-2.0
/// librefnpu.so: the reference accelerator's runtime. Loads engines of refnpu-cc, for this target
/// and of this stack's major.minor, and nothing else; runs them on the llama engine.
///
/// For tests of whoever hosts it, REFNPU_FAULT makes it misbehave: `crash:N` (SIGABRT after N
/// tokens), `stall:N` (the device hangs after N tokens, and so does `close`), `slow:MS` (every
/// token takes that much longer).
#include "node/plugins/llama/abi_session.hpp"
#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/engine_file.hpp"
#include "node/plugins/reference/limits.hpp"
#include "node/plugins/reference/telemetry.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <unistd.h>

namespace {

using namespace consort;
using namespace consort::reference;

/// The fault menu, read once per session.
class fault_menu {
public:
  fault_menu() {
    const char* wanted = std::getenv("REFNPU_FAULT");
    const std::string_view text = wanted == nullptr ? "" : wanted;
    const std::size_t colon = std::min(text.find(':'), text.size());
    kind_ = text.substr(0, colon);
    const std::string_view number = text.substr(std::min(colon + 1, text.size()));
    std::from_chars(number.data(), number.data() + number.size(), amount_);
  }

  void on_tokens(std::size_t count) {
    tokens_ += count;
    if (kind_ == "slow")
      std::this_thread::sleep_for(std::chrono::milliseconds(amount_));
    if (kind_ == "crash" && tokens_ >= amount_)
      std::abort();
    while (kind_ == "stall" && tokens_ >= amount_)
      pause();
  }

private:
  std::string kind_;
  std::uint64_t amount_ = 0;
  std::uint64_t tokens_ = 0;
};

struct refnpu_session : consort_session {
  ~refnpu_session() override {
    reporter.reset(); // It reads the engine's counters.
    engine.reset();
  }
  std::unique_ptr<telemetry> reporter;
};

result<std::unique_ptr<llama::session>> load(const llama::open_config& config,
                                             const consort_sink& sink) {
  auto header = read_engine_header(config.engine.model_path);
  if (!header)
    return header.failure();
  if (auto fits = check_compatible(*header, target_name, stack_version); !fits)
    return fits.failure();
  auto payload = extract_payload(config.engine.model_path, *header);
  if (!payload)
    return payload.failure();
  llama::engine_options options = config.engine;
  options.model_path = "/proc/self/fd/" + std::to_string(*payload);
  options.sequences = std::min(options.sequences, limits::sequences_max);
  auto engine = llama::session::open(
      options, [sink, faults = fault_menu()](const consort_event& event) mutable {
        if (event.kind == CONSORT_EVENT_TOKENS)
          faults.on_tokens(event.token_count);
        sink.emit(sink.context, &event);
      });
  close(*payload); // The mapping keeps the memory.
  return engine;
}

result<std::unique_ptr<consort_session>> open_engine(const llama::open_config& config,
                                                     const consort_sink& sink) {
  const auto device = find_device(config.device);
  if (!device)
    return error{recovery::retry_elsewhere, "no_device",
                 "no device '" + config.device + "' on this host; refnpu-smi lists them"};
  auto engine = load(config, sink);
  if (!engine)
    return engine.failure();
  auto opened = std::make_unique<refnpu_session>();
  opened->engine = std::move(*engine);
  opened->reporter = std::make_unique<telemetry>(*device, *opened->engine);
  return std::unique_ptr<consort_session>(std::move(opened));
}

int open(const char* config_json, const consort_sink* sink, consort_session** out, char* message,
         std::size_t message_bytes) {
  return llama::open_session(config_json, sink, out, message, message_bytes, open_engine);
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  static const consort_runtime_table table
      = consort::llama::make_table("refnpu", consort::reference::stack_version, open);
  return &table;
}
