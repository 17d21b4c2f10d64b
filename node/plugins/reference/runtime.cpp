// SPDX-License-Identifier: Apache-2.0
/// librefnpu.so: the reference accelerator's runtime. Loads engines of refnpu-cc, for this target
/// and of this stack's major.minor, and nothing else; runs them on the llama engine, over one
/// device or several.
///
/// For tests of whoever hosts it, REFNPU_FAULT makes it misbehave: `crash:N` (SIGABRT after N
/// tokens), `stall:N` (the device hangs after N tokens, and so does `close`), `slow:MS` (every
/// token takes that much longer).
#include "node/plugins/llama/abi_session.hpp"
#include "node/plugins/llama/json_fields.hpp"
#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/engine_file.hpp"
#include "node/plugins/reference/limits.hpp"
#include "node/plugins/reference/rank_engine.hpp"
#include "node/plugins/reference/telemetry.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <unistd.h>
#include <utility>

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

/// A leader has an engine of its own; a further rank has workers alone.
struct refnpu_session : consort_session {
  ~refnpu_session() override {
    reporters.clear(); // They read the engine's counters.
    engine.reset();    // It asks its peers until then.
    workers.clear();   // Before the group: they see its links close as a rank that is gone.
  }
  std::unique_ptr<rank_group> group;
  std::vector<std::unique_ptr<rank_worker>> workers;
  std::vector<std::unique_ptr<telemetry>> reporters;
};

/// An artifact that is being loaded: its payload, and what it was built for.
class payload_file {
public:
  [[nodiscard]] static result<payload_file> open(const std::string& path, std::uint32_t degree) {
    auto header = read_engine_header(path);
    if (!header)
      return header.failure();
    if (auto fits = check_compatible(*header, target_name, stack_version()); !fits)
      return fits.failure();
    if (header->degree != degree)
      return llama::bad_model(path + ": built for " + std::to_string(header->degree)
                              + " devices, not " + std::to_string(degree));
    auto payload = extract_payload(path, *header);
    if (!payload)
      return payload.failure();
    return payload_file(*payload, header->payload_xxh64);
  }
  payload_file(payload_file&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), xxh64_(other.xxh64_) {}
  payload_file& operator=(payload_file&&) = delete;
  ~payload_file() {
    if (descriptor_ >= 0)
      close(descriptor_); // The mapping keeps the memory.
  }

  [[nodiscard]] llama::engine_options options(llama::engine_options wanted) const {
    wanted.model_path = "/proc/self/fd/" + std::to_string(descriptor_);
    wanted.sequences = std::min(wanted.sequences, limits::sequences_max);
    return wanted;
  }
  [[nodiscard]] std::uint64_t xxh64() const { return xxh64_; }

private:
  payload_file(int descriptor, std::uint64_t xxh64) : descriptor_(descriptor), xxh64_(xxh64) {}
  int descriptor_;
  std::uint64_t xxh64_;
};

rank_hello hello_of(std::uint32_t context_tokens, std::uint32_t sequences, std::int32_t words,
                    const rank_span& span, const payload_file& payload) {
  rank_hello who;
  who.degree = span.degree;
  who.context_tokens = context_tokens;
  who.sequences = sequences;
  who.words = static_cast<std::uint32_t>(words);
  who.payload_xxh64 = payload.xxh64();
  return who;
}

/// An engine on the device at `at` of the span, which computes for whoever `link` leads to.
result<done> add_worker(refnpu_session& into, const llama::engine_options& options,
                        const rank_span& span, const payload_file& payload, std::size_t at,
                        rank_link link) {
  auto engine = llama::load_engine(options);
  if (!engine)
    return engine.failure();
  const auto words = llama_vocab_n_tokens(llama_model_get_vocab(engine->model.get()));
  auto who = hello_of(engine->context_tokens, engine->sequences, words, span, payload);
  who.shard = span.first + static_cast<std::uint32_t>(at);
  into.workers.push_back(std::make_unique<rank_worker>(*std::move(engine), std::move(link), who));
  into.reporters.push_back(
      std::make_unique<telemetry>(span.devices[at], [worker = into.workers.back().get()] {
        return engine_load{worker->memory_bytes(), worker->steps(), false};
      }));
  return done{};
}

result<done> open_leader(refnpu_session& into, const llama::engine_options& options,
                         const rank_span& span, const payload_file& payload,
                         const consort_sink& sink) {
  into.group = span.degree > 1 ? std::make_unique<rank_group>() : nullptr;
  auto mine = options;
  mine.peers = into.group.get();
  auto engine = llama::session::open(
      mine, [sink, faults = fault_menu()](const consort_event& event) mutable {
        if (event.kind == CONSORT_EVENT_TOKENS)
          faults.on_tokens(event.token_count);
        sink.emit(sink.context, &event);
      });
  if (!engine)
    return engine.failure();
  into.engine = *std::move(engine);
  into.reporters.push_back(std::make_unique<telemetry>(span.devices.front(), [engine
                                                                              = into.engine.get()] {
    return engine_load{engine->model_bytes() + engine->kv_bytes(), engine->counters().steps_total,
                       engine->counters().sequences_running > 0};
  }));
  if (!into.group)
    return done{};
  into.group->expect(hello_of(into.engine->context_tokens(), into.engine->sequences(),
                              into.engine->words(), span, payload));
  for (std::size_t at = 1; at < span.devices.size(); ++at) {
    auto ends = rank_link::pair();
    if (!ends)
      return ends.failure();
    if (auto added = add_worker(into, options, span, payload, at, std::move(ends->second)); !added)
      return added;
    if (auto joined = into.group->join(std::move(ends->first)); !joined)
      return joined;
  }
  return into.group->meet(span.master);
}

/// Takes no requests: it computes for its leader alone.
result<done> open_further_rank(refnpu_session& into, const llama::engine_options& options,
                               const rank_span& span, const payload_file& payload) {
  for (std::size_t at = 0; at < span.devices.size(); ++at) {
    auto link = rank_link::dial(span.master);
    if (!link)
      return link.failure();
    if (auto added = add_worker(into, options, span, payload, at, *std::move(link)); !added)
      return added;
  }
  return done{};
}

result<rank_span> read_span(const llama::open_config& config) {
  rank_span span;
  llama::json_fields fields(config.json);
  constexpr auto most = limits::devices_max;
  span.degree = static_cast<std::uint32_t>(fields.integer("tp", 1, 1, most));
  span.first = static_cast<std::uint32_t>(fields.integer("first", 0, 0, most));
  span.rank = static_cast<std::uint32_t>(fields.integer("rank", 0, 0, most));
  span.master = fields.string("master", "");
  if (fields.fault())
    return *fields.fault();
  std::vector<std::string> names{config.device};
  if (const auto* devices = fields.find("devices"); devices != nullptr && devices->is_array()) {
    names.clear();
    for (const auto& one : *devices)
      names.push_back(one.is_string() ? one.get<std::string>() : one.dump());
  }
  for (const auto& name : names) {
    const auto device = find_device(name);
    if (!device)
      return error{recovery::retry_elsewhere, "no_device",
                   "no device '" + name + "' on this host; refnpu-smi lists them"};
    span.devices.push_back(*device);
  }
  if (span.devices.empty() || span.first + span.devices.size() > span.degree)
    return llama::invalid("an engine of " + std::to_string(span.degree) + " devices has no place "
                          + std::to_string(span.first) + " for "
                          + std::to_string(span.devices.size()) + " more");
  return span;
}

result<std::unique_ptr<consort_session>> open_engine(const llama::open_config& config,
                                                     const consort_sink& sink) {
  const auto span = read_span(config);
  if (!span)
    return span.failure();
  const auto payload = payload_file::open(config.engine.model_path, span->degree);
  if (!payload)
    return payload.failure();
  const auto options = payload->options(config.engine);
  auto opened = std::make_unique<refnpu_session>();
  const auto outcome = span->rank == 0 ? open_leader(*opened, options, *span, *payload, sink)
                                       : open_further_rank(*opened, options, *span, *payload);
  if (!outcome)
    return outcome.failure();
  return std::unique_ptr<consort_session>(std::move(opened));
}

int open(const char* config_json, const consort_sink* sink, consort_session** out, char* message,
         std::size_t message_bytes) {
  return llama::open_session(config_json, sink, out, message, message_bytes, open_engine);
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  static const consort_runtime_table table
      = consort::llama::make_table("refnpu", consort::reference::stack_version(), open);
  return &table;
}
