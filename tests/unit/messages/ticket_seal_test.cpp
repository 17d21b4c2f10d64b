// SPDX-License-Identifier: Apache-2.0
// A seal covers every field, and nothing else opens it.
#include "messages/ticket_seal.hpp"

#include "tests/support/samples.hpp"

#include <gtest/gtest.h>

namespace consort {
namespace {

using messages::seal;
using messages::ticket_sealed;

constexpr std::string_view key = "0123456789abcdef0123456789abcdef";

ticket sealed_ticket() {
  auto permission = samples::filler().make<ticket>();
  permission.mac = seal(permission, key);
  return permission;
}

TEST(TicketSeal, OpensWithItsKeyOnly) {
  const auto permission = sealed_ticket();
  EXPECT_EQ(permission.mac.size(), 64U);
  EXPECT_TRUE(ticket_sealed(permission, key));
  EXPECT_FALSE(ticket_sealed(permission, "0123456789abcdef0123456789abcdeX"));
  EXPECT_FALSE(ticket_sealed(permission, ""));
}

TEST(TicketSeal, CoversEveryFieldButTheMac) {
  std::size_t fields = 0;
  boost::pfr::for_each_field(ticket{}, [&](const auto&, std::size_t at) {
    auto changed = sealed_ticket();
    boost::pfr::for_each_field(changed, [&](auto& field, std::size_t other) {
      if (other == at)
        samples::filler(50).fill(field);
    });
    EXPECT_FALSE(ticket_sealed(changed, key)) << "field " << at;
    ++fields;
  });
  EXPECT_GE(fields, 12U);
}

TEST(TicketSeal, CoversEveryPartOfTheAttempt) {
  for (auto change :
       {+[](attempt_id& id) { id.request.gateway = gateway_id(1); },
        +[](attempt_id& id) { ++id.request.sequence; }, +[](attempt_id& id) { ++id.number; }}) {
    auto changed = sealed_ticket();
    change(changed.attempt);
    EXPECT_FALSE(ticket_sealed(changed, key));
  }
}

TEST(TicketSeal, DoesNotConfuseWhereTextsEnd) {
  ticket left, right;
  left.device = device_id("ab"), left.node = node_id("c");
  right.device = device_id("a"), right.node = node_id("bc");
  EXPECT_NE(seal(left, key), seal(right, key));
}

TEST(TicketSeal, RefusesMacsOfAnyOtherShape) {
  auto permission = sealed_ticket();
  const std::string mac = permission.mac;
  for (const std::string& wrong :
       {std::string(), mac.substr(1), mac + "0", std::string(64, '0'), std::string(64, '\0')}) {
    permission.mac = wrong;
    EXPECT_FALSE(ticket_sealed(permission, key));
  }
}

// Computed with an independent implementation (Python's hmac) over the layout in ticket_seal.cpp.
TEST(TicketSeal, IsTheDocumentedHmac) {
  ticket permission;
  permission.attempt = attempt_id{request_id{gateway_id(1), 2}, 3};
  permission.instance = instance_id(4);
  permission.endpoint_rank = 5;
  permission.device = device_id("n/cpu0");
  permission.node = node_id("n");
  permission.node_incarnation = incarnation(6);
  permission.lease_epoch = epoch(7);
  permission.data_address = "h:1";
  permission.model = model_name("m");
  permission.expires_at = 8;
  EXPECT_EQ(seal(permission, key),
            "5043643b3e9c86fdbcde042c24480ec8d71a2af114c50247b31931673050a677");
}

} // namespace
} // namespace consort
