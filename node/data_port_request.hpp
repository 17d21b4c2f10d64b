// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What requests to a data port mean, and the heads of its answers. Pure functions. Private to the
/// data port.

#include "links/identity.hpp"
#include "messages/codec.hpp"
#include "node/artifact_store.hpp"
#include "node/byte_range.hpp"
#include "node/data_port.hpp"

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/vector_body.hpp>

namespace consort::node {

using request_parser = boost::beast::http::request_parser<boost::beast::http::vector_body<char>>;
using request_message = request_parser::value_type;

/// A request turned away: HTTP status, and the error as a value.
struct refusal {
  unsigned status = 400;
  error why;
};

enum class data_target : std::uint8_t { attempts, artifact, metrics };

struct data_route {
  data_target target = data_target::attempts;
  digest content; ///< Of an artifact.
};

/// What a request line asks for. Refusals: `unknown_path` 404, `wrong_method` 405.
[[nodiscard]] std::variant<data_route, refusal> find_route(const request_message& request);
/// Whether a role may go there: gateways and schedulers open attempts, nodes and schedulers fetch,
/// everybody reads figures.
[[nodiscard]] bool may_use(links::peer_role role, data_target target);
/// The one frame of a body. Refusals: `bad_frame`, `frame_version`, `wrong_kind` 400,
/// `frame_too_large` 413.
[[nodiscard]] std::variant<messages::attempt_open, refusal>
read_attempt_open(std::span<const char> body);

/// Why a read of a request failed; nullopt when the peer merely closed.
[[nodiscard]] std::optional<refusal> describe_read(boost::system::error_code failed);

/// A whole answer: JSON with the error's code, action and message.
[[nodiscard]] std::string render_refusal(const refusal& problem, bool keep_alive);
/// The head of a stream of attempt events.
[[nodiscard]] std::string render_stream_head(bool keep_alive);
/// The head of an artifact, whole or in part, or of the answer that there is no such part.
[[nodiscard]] std::string render_artifact_head(const artifact_record& record,
                                               const range_answer& asked, bool keep_alive);

/// The counters in Prometheus' text format 0.0.4.
[[nodiscard]] std::string render_metrics(const data_port_counters& seen);
/// The head of that text.
[[nodiscard]] std::string render_metrics_head(std::size_t bytes, bool keep_alive);

} // namespace consort::node
