// SPDX-License-Identifier: Apache-2.0
#include "links/admission.hpp"

#include <gmock/gmock.h>

namespace consort::links {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr time_us start = 5'000'000;

boost::asio::ip::address address(const std::string& text) {
  return boost::asio::ip::make_address(text);
}

const auto here = address("10.0.0.1");
const auto there = address("10.0.0.2");

limits::limit_set small() {
  limits::limit_set limits;
  limits.connections = 6;
  limits.address_connections = 4;
  limits.unfinished = 4;
  limits.address_unfinished = 3;
  return limits;
}

/// Connections 1 to `count` of that address, all of them links.
void link_up(admission& book, admission::connection_id first, int count,
             const boost::asio::ip::address& of) {
  for (int at = 0; at < count; ++at, ++first) {
    ASSERT_EQ(book.admit(first, of, start).refused, "");
    ASSERT_TRUE(book.finish(first));
  }
}

TEST(Admission, TheOldestUnfinishedOfAnAddressGivesWay) {
  admission book(small());
  for (admission::connection_id id = 1; id <= 3; ++id)
    EXPECT_THAT(book.admit(id, here, start).displaced, IsEmpty());
  const auto fourth = book.admit(4, here, start);
  EXPECT_EQ(fourth.refused, "");
  EXPECT_THAT(fourth.displaced, ElementsAre(1));
  EXPECT_FALSE(book.finish(1)) << "too late";
  EXPECT_TRUE(book.finish(2));
  EXPECT_EQ(book.unfinished(), 2U);
}

TEST(Admission, TheOldestOfAllGivesWayWhenAddressesAreMany) {
  admission book(small());
  for (admission::connection_id id = 1; id <= 4; ++id)
    EXPECT_THAT(book.admit(id, address("10.1.0." + std::to_string(id)), start).displaced,
                IsEmpty());
  EXPECT_THAT(book.admit(5, here, start).displaced, ElementsAre(1));
}

TEST(Admission, LinksAreNotDisplacedButTheNextIsRefused) {
  admission book(small());
  link_up(book, 1, 4, here);
  EXPECT_EQ(book.admit(5, here, start).refused, "too_many_of_address");
  link_up(book, 6, 2, there);
  EXPECT_EQ(book.admit(8, there, start).refused, "too_many_connections");
  EXPECT_EQ(book.connections(), 6U);
  book.gone(1, start);
  EXPECT_EQ(book.admit(9, here, start).refused, "");
}

TEST(Admission, AFullHouseStillTakesPeersInPlaceOfSilentOnes) {
  admission book(small());
  link_up(book, 1, 4, here);
  EXPECT_EQ(book.admit(5, there, start).refused, "");
  EXPECT_EQ(book.admit(6, there, start).refused, "");
  EXPECT_THAT(book.admit(7, there, start).displaced, ElementsAre(5));
}

/// So many connections of that address that come to nothing. Returns: the first refused id.
admission::connection_id fail(admission& book, admission::connection_id first, int count,
                              const boost::asio::ip::address& of, time_us at = start) {
  for (int more = 0; more < count; ++more, ++first) {
    EXPECT_EQ(book.admit(first, of, at).refused, "");
    book.gone(first, at);
  }
  return first;
}

TEST(Admission, AnAddressThatFailsTooOftenIsNotHeard) {
  auto limits = small();
  limits.address_failures_rate = 10;
  limits.address_failures_at_once = 2;
  admission book(limits);
  const auto third = fail(book, 1, 2, here);
  const auto refused = book.admit(third, here, start);
  EXPECT_EQ(refused.refused, "too_many_failures");
  EXPECT_TRUE(refused.mute);
  EXPECT_EQ(book.admit(third + 1, there, start).refused, "") << "others are";
  EXPECT_EQ(book.admit(third + 2, here, start + 100'000).refused, "");
}

TEST(Admission, WhoeverGivesWayHasFailedToo) {
  auto limits = small();
  limits.address_failures_rate = 1;
  limits.address_failures_at_once = 2;
  admission book(limits);
  for (admission::connection_id id = 1; id <= 5; ++id)
    EXPECT_EQ(book.admit(id, here, start).refused, "") << "3 are unfinished, 2 gave way";
  EXPECT_EQ(book.admit(6, here, start).refused, "too_many_failures");
}

TEST(Admission, WhatIsUnfinishedIsAtStake) {
  limits::limit_set limits;
  limits.address_failures_rate = 1;
  limits.address_failures_at_once = 3;
  admission book(limits);
  admission::connection_id id = 0;
  for (std::int64_t more = 0; more < 3 * limits::unfinished_per_credit; ++more)
    EXPECT_EQ(book.admit(++id, here, start).refused, "") << more;
  EXPECT_EQ(book.admit(++id, here, start).refused, "too_many_failures");
  EXPECT_TRUE(book.finish(1));
  EXPECT_EQ(book.admit(++id, here, start).refused, "") << "one of them was in good order";
}

TEST(Admission, SuccessMakesFailuresGood) {
  auto limits = small();
  limits.address_failures_rate = 1;
  limits.address_failures_at_once = 2 * limits::address_success_credit;
  admission book(limits);
  auto id = fail(book, 1, 2 * limits::address_success_credit - 1, here);
  link_up(book, id, 1, here);
  id = fail(book, id + 1, limits::address_success_credit + 1, here);
  EXPECT_EQ(book.admit(id, here, start).refused, "too_many_failures");
  book.gone(id, start);
  EXPECT_EQ(book.connections(), 1U) << "the end of a link is no failure";
}

TEST(Admission, AHandshakeThatFailedCountsAsSeveralFailures) {
  auto limits = small();
  limits.address_failures_rate = 1;
  limits.address_failures_at_once = 2 * limits::failures_per_handshake;
  admission book(limits);
  for (admission::connection_id id = 1; id <= 2; ++id) {
    EXPECT_EQ(book.admit(id, here, start).refused, "");
    book.gone(id, start, limits::failures_per_handshake);
  }
  EXPECT_EQ(book.admit(3, here, start).refused, "too_many_failures");
  EXPECT_EQ(book.admit(4, here, start + limits::second_us).refused, "") << "without debt";
}

TEST(Admission, AnIpv6HostCountsByItsNetwork) {
  auto limits = small();
  limits.address_failures_at_once = 1;
  limits.address_failures_rate = 1;
  admission book(limits);
  (void)fail(book, 1, 1, address("2001:db8:1:1::1"));
  EXPECT_EQ(book.admit(2, address("2001:db8:1:1:ffff::2"), start).refused, "too_many_failures");
  EXPECT_EQ(book.admit(3, address("2001:db8:1:2::1"), start).refused, "");
  (void)fail(book, 4, 1, address("::ffff:10.0.0.1"));
  EXPECT_EQ(book.admit(5, here, start).refused, "too_many_failures") << "the same IPv4 host";
}

TEST(Admission, CountsConnectionsByAddress) {
  admission book(small());
  link_up(book, 1, 2, here);
  EXPECT_EQ(book.admit(3, here, start).refused, "");
  EXPECT_EQ(book.connections_of(admission::key_of(here)), 3U);
  EXPECT_EQ(book.connections_of(admission::key_of(there)), 0U);
}

TEST(Admission, StrangersAreForgotten) {
  admission book(limits::limit_set{});
  admission::connection_id id = 0;
  for (std::uint32_t host = 0; host < 3 * limits::addresses_max; ++host) {
    ASSERT_EQ(book.admit(++id, boost::asio::ip::address_v4(0x0B000000 + host), start).refused, "");
    book.gone(id, start);
    ASSERT_LE(book.addresses(), limits::addresses_max);
  }
  EXPECT_EQ(book.connections(), 0U);
}

TEST(Admission, DefaultsAreReached) {
  admission book(limits::limit_set{});
  admission::connection_id id = 0;
  for (std::uint32_t host = 0; book.connections() < limits::connections_max; ++host)
    for (std::size_t at = 0; at < limits::address_connections_max; ++at) {
      ASSERT_EQ(book.admit(++id, boost::asio::ip::address_v4(0x0B000000 + host), start).refused,
                "");
      ASSERT_TRUE(book.finish(id));
    }
  EXPECT_EQ(book.admit(++id, boost::asio::ip::address_v4(0x0B000000), start).refused,
            "too_many_of_address");
  EXPECT_EQ(book.admit(++id, here, start).refused, "too_many_connections");
}

TEST(Admission, TheDefaultsOfWhatIsUnfinishedAreReached) {
  limits::limit_set patient; // Failures would be what is met first.
  patient.address_failures_at_once = patient.address_failures_rate = 1 << 20;
  admission book(patient);
  admission::connection_id id = 0;
  for (std::size_t more = 0; more < limits::address_unfinished_max; ++more)
    ASSERT_THAT(book.admit(++id, here, start).displaced, IsEmpty());
  EXPECT_THAT(book.admit(++id, here, start).displaced, ElementsAre(1));
  for (std::size_t more = book.unfinished(); more < limits::unfinished_max; ++more)
    ASSERT_THAT(
        book.admit(++id, boost::asio::ip::address_v4(0x0B000000 + static_cast<std::uint32_t>(more)),
                   start)
            .displaced,
        IsEmpty());
  EXPECT_THAT(book.admit(++id, there, start).displaced, ElementsAre(2));
}

TEST(Admission, TheDefaultOfFailuresIsReached) {
  admission book(limits::limit_set{});
  const auto next = fail(book, 1, static_cast<int>(limits::address_failures_burst), here);
  EXPECT_EQ(book.admit(next, here, start).refused, "too_many_failures");
  const auto credit_us = limits::second_us / limits::address_failures_per_s;
  EXPECT_EQ(book.admit(next + 1, here, start + credit_us - 1).refused, "too_many_failures");
  EXPECT_EQ(book.admit(next + 2, here, start + credit_us).refused, "");
}

TEST(Admission, RunningOutOfDescriptorsTakesTheOldest) {
  admission book(small());
  EXPECT_EQ(book.displace_oldest(start), std::nullopt);
  (void)book.admit(1, here, start);
  (void)book.admit(2, there, start);
  EXPECT_TRUE(book.finish(1));
  EXPECT_EQ(book.displace_oldest(start), 2U);
  EXPECT_EQ(book.displace_oldest(start), std::nullopt) << "links stay";
}

TEST(QuietLog, OneLineForEachAddressAndPeriod) {
  quiet_log lines(60'000'000);
  EXPECT_EQ(lines.may_log("a", start), 0U);
  for (int more = 0; more < 7; ++more)
    EXPECT_EQ(lines.may_log("a", start + more), std::nullopt);
  EXPECT_EQ(lines.may_log("b", start), 0U);
  EXPECT_EQ(lines.may_log("a", start + 60'000'000), 7U) << "and how many were left out";
  EXPECT_EQ(lines.may_log("a", start + 120'000'000), 0U);
}

TEST(QuietLog, RemembersABoundedNumberOfAddresses) {
  quiet_log lines(60'000'000);
  for (std::size_t host = 0; host < limits::addresses_max; ++host)
    EXPECT_EQ(lines.may_log(std::to_string(host), start), 0U);
  EXPECT_EQ(lines.may_log("one more", start), std::nullopt);
  EXPECT_EQ(lines.may_log("one more", start + 60'000'000), 0U) << "the others are old by now";
  EXPECT_EQ(lines.addresses(), 1U);
}

} // namespace
} // namespace consort::links
