// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a guard believes of a connection before it is a link: its first bytes and its hello. Pure
/// functions over bytes.

#include "links/identity.hpp"
#include "messages/envelope.hpp"
#include "messages/frame.hpp"

#include <optional>
#include <span>

namespace consort::links {

/// What a hello is measured by. Outlives the checks made with it.
struct hello_rules {
  std::string cluster;
  std::string join_token;
  std::optional<peer_identity> certified = {}; ///< By its certificate; nullopt without TLS.
};

/// Whether a stream that begins like this can become a link: a TLS handshake record, or the header
/// of a hello. Judges whatever prefix is there, so that rubbish costs no TLS state at all.
/// Returns: `not_tls`, `bad_frame` (both refuse).
[[nodiscard]] std::optional<error> judge_opening(std::span<const char> first, bool tls);
/// How many bytes must be there before it is worth going on: under TLS the whole first record, so
/// that half a handshake costs no TLS state either. Requires: judge_opening() had no objection.
[[nodiscard]] std::size_t opening_wanted(std::span<const char> first, bool tls);
/// Bytes of a record's header: what the two above look at.
inline constexpr std::size_t opening_bytes = 5;

/// Returns: who says hello; or `bad_frame`, `frame_version`, `wrong_cluster`, `wrong_token`
/// (compared in constant time), `wrong_role`, `wrong_name`; all refuse, in this order.
[[nodiscard]] result<peer_identity> judge_hello(const messages::frame& hello,
                                                const hello_rules& rules);

/// Whether a refusal with this code is worth an answer: the peer speaks our frames.
[[nodiscard]] bool understands_answers(const error& refusal);

/// A framed hello_answer that refuses, ready for the socket. `wall_clock_s`: Unix time here.
[[nodiscard]] std::vector<char> refusal_bytes(const error& why, const std::string& cluster,
                                              incarnation life, std::int64_t wall_clock_s);

} // namespace consort::links
