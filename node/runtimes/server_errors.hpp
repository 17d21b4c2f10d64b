// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reading what model servers say: JSON within bounds, and what a refusal means for an attempt.
/// Pure.

#include "messages/attempt_service.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace consort::node {

/// Returns: discarded when it is no JSON, not UTF-8, or deeper than limits::json_depth_max.
[[nodiscard]] nlohmann::json read_server_json(std::string_view text);

/// A whole number of an object; 0 when absent or no such number.
[[nodiscard]] std::uint32_t whole_at(const nlohmann::json& object, const char* name);

/// The message inside an error body, in any of the shapes that servers use: OpenAI's
/// `{"error": {"message"}}`, vLLM's older `{"object": "error", "message"}`, FastAPI's `{"detail"}`
/// (a text or a list of `{"loc", "msg"}`), TGI's `{"error": "text"}`; else the beginning of the
/// text (HTML included), made printable.
[[nodiscard]] std::string server_message(std::string_view body);

/// The same of a JSON value; empty when it is in none of those shapes.
[[nodiscard]] std::string message_in(const nlohmann::json& body);

/// How an attempt ends that was answered with this status (messages/server_status.hpp). Who is out
/// of money may say so by a code of billing in a 429.
[[nodiscard]] attempt_aborted judge_refusal(unsigned status, std::string_view body);

/// Of a redirect (3xx with a `location`), which none of ours follows: whom it sends its askers to,
/// and what to do, to be put behind the status; empty of other answers. Tells no more than a scheme
/// and a host, since queries hold keys.
[[nodiscard]] std::string redirect_words(unsigned status, std::string_view location,
                                         const std::string& plugin);

/// What came of the last question whether a server is ready: its status, or why there is none.
/// `started`: by us, and told its port.
[[nodiscard]] std::string answer_words(const result<unsigned>& status, bool started);

/// Whether a refusal is about that field of the request, or one inside of it. By its structure
/// alone: what a message quotes may be the client's own words.
[[nodiscard]] bool refuses_field(std::string_view body, std::string_view field);

} // namespace consort::node
