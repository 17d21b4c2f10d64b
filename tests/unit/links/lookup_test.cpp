// SPDX-License-Identifier: Apache-2.0
#include "links/lookup.hpp"

#include "links/limits.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <thread>

namespace consort::links {
namespace {

namespace asio = boost::asio;

/// A name service that answers when it is told to.
class hung_service {
public:
  ~hung_service() {
    let_go();
    while (asked_ != answered_) // They use it until then.
      std::this_thread::yield();
  }
  resolve_host resolve() {
    return [this](const std::string&, std::uint16_t port) {
      ++asked_;
      gate_.wait();
      found_host out;
      out.ends.emplace_back(asio::ip::address_v4::loopback(), port);
      ++answered_;
      return out;
    };
  }
  void let_go() {
    if (!open_.exchange(true))
      opened_.set_value();
  }
  void await_asked(int times) const {
    while (asked_ < times)
      std::this_thread::yield();
  }

private:
  std::promise<void> opened_;
  std::shared_future<void> gate_ = opened_.get_future().share();
  std::atomic<bool> open_ = false;
  std::atomic<int> asked_ = 0, answered_ = 0;
};

task<void> look(name_lookup& by, std::string host, found_host& into) {
  into = co_await by.find(host, 80);
}

found_host found_by(const resolve_host& resolve, const std::string& host) {
  asio::io_context io;
  name_lookup by(io.get_executor(), resolve);
  found_host got;
  asio::co_spawn(io, look(by, host, got), asio::detached);
  io.run();
  return got;
}

TEST(Lookup, AddressesAreNotLookedUp) {
  const auto nobody = [](const std::string&, std::uint16_t) -> found_host {
    ADD_FAILURE();
    return {};
  };
  const auto got = found_by(nobody, "::1");
  EXPECT_FALSE(got.failed);
  ASSERT_EQ(got.ends.size(), 1U);
  EXPECT_EQ(got.ends.front(), asio::ip::tcp::endpoint(asio::ip::address_v6::loopback(), 80));
}

TEST(Lookup, TheSystemKnowsThisMachine) {
  const auto got = found_by(resolve_by_system, "localhost");
  EXPECT_FALSE(got.failed) << got.failed.message();
  ASSERT_FALSE(got.ends.empty());
  EXPECT_TRUE(got.ends.front().address().is_loopback());
  EXPECT_EQ(got.ends.front().port(), 80);
}

TEST(Lookup, WhatNobodyHasIsNotFound) {
  const auto got = found_by(resolve_by_system, std::string(70, 'a') + ".invalid");
  EXPECT_TRUE(got.failed);
  EXPECT_TRUE(got.ends.empty());
}

TEST(Lookup, IsLeftBehindWhenCancelled) {
  hung_service names;
  asio::io_context io;
  name_lookup by(io.get_executor(), names.resolve());
  found_host got;
  asio::co_spawn(io, look(by, "some.host", got), asio::detached);
  io.poll();
  names.await_asked(1);
  by.cancel();
  io.run(); // Ends although nobody answered.
  EXPECT_EQ(got.failed, asio::error::operation_aborted);
}

/// As where a process stops: nothing waits for the answer, and it harms nobody when it comes.
TEST(Lookup, OutlivesWhoeverAsked) {
  hung_service names;
  {
    asio::io_context io;
    const auto by = std::make_unique<name_lookup>(io.get_executor(), names.resolve());
    found_host got;
    asio::co_spawn(io, look(*by, "some.host", got), asio::detached);
    io.poll();
    names.await_asked(1);
  }
  names.let_go();
}

TEST(Lookup, OneThatHangsHoldsUpNoOther) {
  hung_service names;
  asio::io_context io;
  name_lookup slow(io.get_executor(), names.resolve());
  found_host later;
  asio::co_spawn(io, look(slow, "some.host", later), asio::detached);
  io.poll();
  EXPECT_FALSE(found_by(resolve_by_system, "localhost").failed);
  names.let_go();
  io.run();
  EXPECT_FALSE(later.failed);
  EXPECT_EQ(later.ends.size(), 1U);
}

TEST(Lookup, SoManyAtOnceAndNoMore) {
  constexpr std::size_t ending = 8; // Of the tests before, at most.
  hung_service names;
  asio::io_context io;
  std::vector<std::unique_ptr<name_lookup>> all;
  std::deque<found_host> got; // Stays where it is.
  do {
    all.push_back(std::make_unique<name_lookup>(io.get_executor(), names.resolve()));
    asio::co_spawn(io, look(*all.back(), "some.host", got.emplace_back()), asio::detached);
    io.poll();
  } while (!got.back().failed && all.size() < 2 * limits::lookups_max);
  EXPECT_EQ(got.back().failed, asio::error::host_not_found_try_again);
  EXPECT_LE(all.size(), limits::lookups_max + ending);
  EXPECT_GE(all.size(), limits::lookups_max + 1 - ending);
  names.let_go();
  io.restart();
  io.run();
  got.pop_back();
  for (const auto& one : got)
    EXPECT_FALSE(one.failed);
}

} // namespace
} // namespace consort::links
