// SPDX-License-Identifier: Apache-2.0
#include "actors/wire.hpp"

#include <openssl/crypto.h>

namespace consort::actors {

namespace {

bool same_secret(const std::string& left, const std::string& right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

/// Ids inside an event that name its speaker.
struct speaker_check {
  const messages::envelope& greeted;

  [[nodiscard]] bool node(const node_id& named) const {
    return greeted.kind == messages::sender_kind::node && named.value == greeted.sender;
  }
  [[nodiscard]] bool device(const device_id& named) const {
    return greeted.kind == messages::sender_kind::node
           && named.value.starts_with(greeted.sender + "/");
  }
  [[nodiscard]] bool gateway(const request_id& request) const {
    return greeted.kind == messages::sender_kind::gateway
           && request.gateway.value == greeted.life.value;
  }
  [[nodiscard]] bool life(incarnation named) const { return named == greeted.life; }

  template <class Event>
  bool operator()(const Event& event) const {
    if constexpr (requires { event.life; }) {
      if (greeted.kind != messages::sender_kind::node || !life(event.life))
        return false;
      if constexpr (requires { event.spec.id; })
        return device(event.spec.id);
      else if constexpr (requires { event.device; })
        return device(event.device);
      else if constexpr (requires { event.node; })
        return node(event.node);
      else if constexpr (requires { event.record.node; })
        return node(event.record.node);
      else
        return true;
    } else if constexpr (requires { event.attempt; }) {
      return gateway(event.attempt.request);
    } else if constexpr (requires { event.request; }) {
      return gateway(event.request);
    } else if constexpr (requires { event.meta; }) {
      return gateway(event.meta.id);
    } else if constexpr (requires { event.gateway; }) {
      return gateway({event.gateway, 0});
    } else if constexpr (requires { event.target; }) {
      // An operator, through a gateway; or a node about what is its own.
      return greeted.kind == messages::sender_kind::gateway || node(node_id{event.target})
             || device(device_id{event.target});
    } else {
      // What an operator asks comes through gateways; nobody sends ticks.
      return greeted.kind == messages::sender_kind::gateway;
    }
  }
};

} // namespace

std::optional<error> check_hello(const messages::hello& hello, const std::string& cluster,
                                 const std::string& join_token) {
  if (hello.cluster != cluster)
    return error{recovery::refuse, "wrong_cluster",
                 "this is cluster `" + cluster + "`, not `" + hello.cluster
                     + "`: join it with --cluster, or set `cluster` in the configuration"};
  if (!same_secret(hello.join_token, join_token))
    return error{recovery::refuse, "wrong_token", "the join token is not this cluster's"};
  return std::nullopt;
}

bool speaks_for_itself(const messages::envelope& greeted, const messages::envelope& from,
                       const core::event& event) {
  if (from.kind != greeted.kind || from.sender != greeted.sender || from.life != greeted.life)
    return false;
  if (std::holds_alternative<core::tick>(event)
      || std::holds_alternative<core::gateway_lost>(event))
    return false;
  return std::visit(speaker_check{greeted}, event);
}

} // namespace consort::actors
