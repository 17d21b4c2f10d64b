// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The C ABI over a llama session, shared by every runtime that is built on this engine. A runtime
/// brings its name and an opener (what it loads, and from what format); the rest of its table is
/// here. Nothing throws across the table.

#include "node/plugin_abi.h"
#include "node/plugins/llama/engine.hpp"

#include <nlohmann/json.hpp>

/// What the table hands out. A runtime may keep more of its own in a derived type; what derives is
/// destroyed before the engine only in its own destructor, so it stops the engine there first.
struct consort_session {
  virtual ~consort_session() = default;
  std::unique_ptr<consort::llama::session> engine; ///< Null when it takes no requests.
};

namespace consort::llama {

/// The configuration of `open` as a value; fields it does not know stay in `json`.
struct open_config {
  engine_options engine;
  std::string device; ///< Index or uuid, as text; empty = first.
  nlohmann::json json;
};

/// Reads what `open` was given. Failures: `invalid_request`, which names the field.
[[nodiscard]] result<open_config> read_config(const char* text);
/// One line, terminated, into the caller's place for it. Returns: the ABI's status.
int report_failure(const error& why, char* message, std::size_t message_bytes);

/// Opens a session of one runtime: `bad_model` and `invalid_request` keep their ABI status.
using opener = result<std::unique_ptr<consort_session>> (*)(const open_config& config,
                                                            const consort_sink& sink);

/// Runs the whole of `open`: checks the configuration, calls `make`, reports in ABI terms.
[[nodiscard]] int open_session(const char* config_json, const consort_sink* sink,
                               consort_session** out, char* message, std::size_t message_bytes,
                               opener make);

/// A table of this ABI around a runtime's own `open`. Strings must live as long as the table.
[[nodiscard]] consort_runtime_table make_table(const char* name, const char* version,
                                               decltype(consort_runtime_table::open) open);

/// Counters and limits of a session as the JSON that `stats` promises.
[[nodiscard]] std::string stats_json(const session& engine);

} // namespace consort::llama
