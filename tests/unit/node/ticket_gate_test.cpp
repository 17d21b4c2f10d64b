// SPDX-License-Identifier: Apache-2.0
#include "messages/ticket_seal.hpp"
#include "node/admission_limits.hpp"
#include "node/ticket_gate.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace consort::node {
namespace {

struct TicketGate : ::testing::Test {
  TicketGate() {
    gate.set_key("key");
    gate.set_lease(incarnation(7), epoch(3), 1'000);
  }

  static ticket sealed(std::uint64_t sequence, const std::string& key = "key") {
    ticket made;
    made.attempt = {{gateway_id(1), sequence}, 1};
    made.node = node_id("n");
    made.node_incarnation = incarnation(7);
    made.lease_epoch = epoch(3);
    made.expires_at = 500;
    made.mac = messages::seal(made, key);
    return made;
  }
  static ticket resealed(ticket changed) {
    changed.mac = messages::seal(changed, "key");
    return changed;
  }
  std::string code(const ticket& shown, time_us now = 100) {
    const auto admitted = gate.admit(shown, now);
    return admitted ? "ok" : admitted.failure().code;
  }

  ticket_gate gate;
};

TEST_F(TicketGate, AdmitsASealedTicketOnce) {
  EXPECT_EQ(code(sealed(1)), "ok");
  EXPECT_EQ(code(sealed(1)), "ticket_used");
  EXPECT_EQ(code(sealed(2)), "ok");
}

TEST_F(TicketGate, RefusesAForgedOrAlteredTicket) {
  EXPECT_EQ(code(sealed(1, "another key")), "ticket_forged");
  auto altered = sealed(1);
  altered.instance = instance_id(99);
  EXPECT_EQ(code(altered), "ticket_forged");
  altered = sealed(1);
  altered.mac.clear();
  EXPECT_EQ(code(altered), "ticket_forged");
  EXPECT_EQ(code(sealed(1)), "ok") << "a forgery must not use the real ticket up";
}

TEST_F(TicketGate, RefusesAnotherLifeAndAnotherEpochEitherWay) {
  auto other = sealed(1);
  other.node_incarnation = incarnation(6);
  EXPECT_EQ(code(resealed(other)), "ticket_stale_incarnation");
  for (const std::uint64_t number : {2u, 4u}) {
    other = sealed(1);
    other.lease_epoch = epoch(number);
    EXPECT_EQ(code(resealed(other)), "ticket_stale_epoch");
  }
}

TEST_F(TicketGate, ExpiryAndLeaseAreInclusiveToTheMicrosecond) {
  EXPECT_EQ(code(sealed(1), 500), "ok");
  EXPECT_EQ(code(sealed(2), 501), "ticket_expired");
  auto lasting = sealed(3);
  lasting.expires_at = 5'000;
  EXPECT_EQ(code(resealed(lasting), 1'001), "lease_expired");
  gate.set_lease(incarnation(7), epoch(3), 1'001);
  EXPECT_EQ(code(resealed(lasting), 1'001), "ok");
}

TEST_F(TicketGate, AnOlderLeaseIsIgnoredAndANewerReplacesIt) {
  gate.set_lease(incarnation(7), epoch(2), 9'000);
  gate.set_lease(incarnation(7), epoch(3), 50);
  EXPECT_EQ(code(sealed(1), 500), "ok") << "neither may shorten or change the lease";
  gate.set_lease(incarnation(7), epoch(4), 2'000);
  EXPECT_EQ(code(sealed(2)), "ticket_stale_epoch");
}

TEST_F(TicketGate, BeforeAKeyNothingIsAdmittedAndANewKeyStartsOver) {
  ticket_gate fresh;
  EXPECT_EQ(fresh.admit(sealed(1), 1).failure().code, "ticket_no_key");
  EXPECT_EQ(code(sealed(1)), "ok");
  gate.set_key("key");
  EXPECT_EQ(code(sealed(1)), "ticket_used") << "the same key is the same life";
  gate.set_key("new");
  EXPECT_EQ(code(sealed(2)), "ticket_forged");
  EXPECT_EQ(code(sealed(2, "new")), "ticket_stale_incarnation") << "no lease yet";
  gate.set_lease(incarnation(7), epoch(3), 1'000);
  EXPECT_EQ(code(sealed(2, "new")), "ok");
}

TEST_F(TicketGate, RemembersABoundedNumberAndForgetsTheExpired) {
  auto one = sealed(0);
  for (std::uint64_t sequence = 1; sequence <= limits::used_tickets_max; ++sequence) {
    one.attempt.request.sequence = sequence;
    one.mac = messages::seal(one, "key");
    ASSERT_TRUE(gate.admit(one, 100).ok());
  }
  EXPECT_EQ(code(sealed(999'999)), "ticket_memory_full");
  auto later = sealed(1'000'000);
  later.expires_at = 900;
  EXPECT_EQ(code(resealed(later), 501), "ok") << "all of them have expired";
}

TEST_F(TicketGate, OfManyThreadsOneIsAdmitted) {
  for (std::uint64_t sequence = 1; sequence <= 50; ++sequence) {
    std::atomic<int> admitted = 0;
    std::vector<std::thread> threads;
    for (int index = 0; index < 4; ++index)
      threads.emplace_back([&] { admitted += gate.admit(sealed(sequence), 100).ok(); });
    for (auto& thread : threads)
      thread.join();
    EXPECT_EQ(admitted, 1);
  }
}

} // namespace
} // namespace consort::node
