// SPDX-License-Identifier: Apache-2.0
#include "links/hello_check.hpp"

#include "links/refusal.hpp"
#include "messages/codec.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

namespace consort::links {

namespace {

constexpr unsigned char tls_handshake_record = 0x16;
constexpr unsigned char tls_major_version = 0x03;
constexpr std::size_t tls_record_bytes_max = std::size_t{1} << 14;

bool same_secret(const std::string& left, const std::string& right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

bool begins_like(std::span<const char> bytes, std::span<const unsigned char> pattern) {
  for (std::size_t at = 0; at < std::min(bytes.size(), pattern.size()); ++at)
    if (static_cast<unsigned char>(bytes[at]) != pattern[at])
      return false;
  return true;
}

/// Of a record whose header is there.
std::size_t record_bytes(std::span<const char> header) {
  return std::size_t{static_cast<unsigned char>(header[3])} << 8U
         | static_cast<unsigned char>(header[4]);
}

/// A scheduler is dialled and never dials, so its word is not in question.
std::optional<peer_role> role_of(messages::sender_kind kind) {
  switch (kind) {
  case messages::sender_kind::node: return peer_role::node;
  case messages::sender_kind::gateway: return peer_role::gateway;
  case messages::sender_kind::scheduler: break;
  }
  return std::nullopt;
}

} // namespace

std::optional<error> judge_opening(std::span<const char> first, bool tls) {
  constexpr std::array<unsigned char, 2> tls_record = {tls_handshake_record, tls_major_version};
  constexpr std::array<unsigned char, 4> magic = {'C', 'S', 'R', 'T'};
  const bool sized = !tls || first.size() < opening_bytes
                     || (record_bytes(first) > 0 && record_bytes(first) <= tls_record_bytes_max);
  if (tls && !(begins_like(first, tls_record) && sized))
    return refuse("not_tls", "the connection does not begin with a TLS handshake");
  if (!tls && !begins_like(first, magic))
    return refuse("bad_frame", "the stream does not begin with a frame");
  return std::nullopt;
}

std::size_t opening_wanted(std::span<const char> first, bool tls) {
  if (!tls)
    return 1;
  return first.size() < opening_bytes ? opening_bytes : opening_bytes + record_bytes(first);
}

result<peer_identity> judge_hello(const messages::frame& hello, const hello_rules& rules) {
  const auto said = messages::decode_hello(hello.payload);
  if (!said)
    return said.failure();
  const auto& from = said->from;
  if (said->body.cluster != rules.cluster)
    return refuse("wrong_cluster",
                  "this is cluster `" + rules.cluster + "`, not `" + said->body.cluster
                      + "`: join it with --cluster, or set `cluster` in the configuration");
  if (!same_secret(said->body.join_token, rules.join_token))
    return refuse("wrong_token", "the join token is not this cluster's");
  const auto role = role_of(from.kind);
  if (!role)
    return refuse("wrong_role", "only nodes and gateways say hello");
  if (!rules.certified)
    return peer_identity{rules.cluster, *role, from.sender, {}, 0};
  if (rules.certified->role != *role)
    return refuse("wrong_role", "a " + std::string(name_of(*role)) + " says hello with a "
                                    + std::string(name_of(rules.certified->role))
                                    + "'s certificate");
  if (rules.certified->name != from.sender)
    return refuse("wrong_name", "`" + from.sender + "` says hello with the certificate of `"
                                    + rules.certified->name + "`");
  return *rules.certified;
}

bool understands_answers(const error& refusal) {
  return refusal.code != "bad_frame" && refusal.code != "not_tls";
}

std::vector<char> refusal_bytes(const error& why, const std::string& cluster, incarnation life,
                                std::int64_t wall_clock_s) {
  const messages::envelope from{messages::protocol_version, messages::sender_kind::scheduler,
                                cluster, life, 0};
  const messages::hello_answer body{why, 0, {}, wall_clock_s};
  const auto payload = messages::encode(from, body);
  if (!payload)
    return {};
  auto framed = messages::write_frame(messages::frame_kind::hello_answer, *payload);
  return framed ? std::move(*framed) : std::vector<char>{};
}

} // namespace consort::links
