// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The admin API as commands use it: JSON in and out, errors as the contract's exit codes. Shapes
/// are those of gateway/README.md.

#include "cli/context.hpp"
#include "cli/exit_code.hpp"
#include "cli/limits.hpp"
#include "cli/transport.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace consort::cli {

using json = nlohmann::ordered_json;

/// A client of the server that this invocation means.
[[nodiscard]] result<http_client> connect_client(const context& env);

/// Whether a server is up at `url`; asks for at most limits::probe_timeout.
[[nodiscard]] bool answers(const std::string& url);

/// GET. Returns: the JSON, or an error (`unreachable`, `refused_by_cluster`, `failed`).
[[nodiscard]] result<json> fetch(const context& env, const std::string& path);
/// POST or DELETE with a JSON body (null = none); `timeout` bounds the answer.
[[nodiscard]] result<json> send(const context& env, const std::string& method,
                                const std::string& path, const json& body,
                                std::chrono::milliseconds timeout = limits::answer_timeout);

/// Where an answer says that what was done is not kept over a restart: one line on stderr with the
/// reason. Returns: how the command ends when nothing else went wrong, `failed` then.
[[nodiscard]] exit_code tell_kept(const context& env, const json& answer);

/// The error of an OpenAI envelope, in one line with its HTTP status.
[[nodiscard]] error refusal(int status, const std::string& body);

/// Escapes one segment of a path.
[[nodiscard]] std::string escaped(const std::string& segment);

// --- reading cells: anything absent, null or of another type is unknown, shown as `-` ---

[[nodiscard]] std::string text_at(const json& from, const std::string& pointer);
[[nodiscard]] std::string count_at(const json& from, const std::string& pointer);
[[nodiscard]] std::string duration_at(const json& from, const std::string& pointer);
[[nodiscard]] std::string size_at(const json& from, const std::string& pointer);
/// `value / 10` per cent of a per-mille figure.
[[nodiscard]] std::string percent_at(const json& from, const std::string& pointer);
/// Watts of a milliwatt figure.
[[nodiscard]] std::string watts_at(const json& from, const std::string& pointer);
[[nodiscard]] bool true_at(const json& from, const std::string& pointer);
/// An array of strings joined with commas.
[[nodiscard]] std::string list_at(const json& from, const std::string& pointer);

} // namespace consort::cli
