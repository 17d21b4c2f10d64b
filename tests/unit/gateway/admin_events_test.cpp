// SPDX-License-Identifier: Apache-2.0
// What happened, as a stream and as a list, over a real socket.
#include "gateway/event_hub.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"

#include <gmock/gmock.h>

namespace consort::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using AdminEvents = gateway_fixture;

TEST_F(AdminEvents, EventsStreamNotesAndRequests) {
  start();
  http_client client(http_port());
  client.send(http_client::request("GET", "/api/v1/events"));
  client.read_until(": connected");
  core::note note;
  note.subject = "local/npu0";
  note.text = "compiling";
  port_.publish(note);
  core::record_request record;
  record.external_id = "mine";
  port_.publish(record);
  port_.publish(core::grant_lease{});
  const auto seen = client.read_until("\"mine\"");
  EXPECT_THAT(seen, HasSubstr("-1\nevent: note\ndata: {"));
  EXPECT_THAT(seen, HasSubstr(R"("level":"info","subject":"local/npu0","text":"compiling")"));
  EXPECT_THAT(seen, HasSubstr("-2\nevent: request\ndata: {"));
}

/// Notes `0`, `1`, ...: more than are kept by one.
void tell_more_than_is_kept(fake_scheduler_port& port) {
  core::note note;
  for (std::size_t at = 0; at <= gateway::limits::events_kept_max; ++at) {
    note.text = std::to_string(at);
    port.publish(note);
  }
}

TEST_F(AdminEvents, WhatHappenedCanBeAskedLater) {
  start();
  tell_more_than_is_kept(port_);
  http_client client(http_port());
  const auto asked
      = [&](const std::string& query) { return client.get("/api/v1/events?follow=false" + query); };
  EXPECT_EQ(asked("").body, "") << "nobody asked for the past";
  const auto two = asked("&last=2").body;
  EXPECT_THAT(two, HasSubstr(R"("text":"999","id":)"));
  EXPECT_THAT(two, HasSubstr(R"("text":"1000","id":)"));
  EXPECT_THAT(two, Not(HasSubstr(R"("text":"998")")));
  const auto all = asked("&last=1000").body;
  EXPECT_THAT(all, HasSubstr(R"("text":"1")"));
  EXPECT_THAT(all, Not(HasSubstr(R"("text":"0")"))) << "one more than is kept";
  for (const auto* wrong : {"&last=1001", "&last=-1", "&last=", "&follow=perhaps", "&first=1"})
    EXPECT_EQ(asked(wrong).status, 400) << wrong;
}

TEST_F(AdminEvents, AStreamOfEventsGoesOnWhereItWasCut) {
  start();
  tell_more_than_is_kept(port_);
  http_client client(http_port());
  const auto newest = client.get("/api/v1/events?follow=false&last=3").body;
  const auto id = newest.substr(4, newest.find('\n') - 4);
  const auto since = [&](const std::string& last_id) {
    http_client again(http_port());
    again.send(http_client::request("GET", "/api/v1/events?last=1", "",
                                    "Last-Event-ID: " + last_id + "\r\n"));
    return again.read_until(R"("text":"1000")");
  };
  EXPECT_THAT(since(id), AllOf(HasSubstr(R"("text":"999")"), Not(HasSubstr(R"("text":"998")"))));
  for (const auto& other : {std::string("1-1"), std::string("nonsense"), id + "x"})
    EXPECT_THAT(since(other), Not(HasSubstr(R"("text":"999")"))) << other;
}

TEST_F(AdminEvents, QuietEventStreamsArePinged) {
  config_.limits.event_ping = 10 * ms;
  start();
  http_client client(http_port());
  client.send(http_client::request("GET", "/api/v1/events"));
  EXPECT_NE(client.read_until(": ping").find(": ping\n\n"), std::string::npos);
}

TEST_F(AdminEvents, EventsForASlowReaderAreBounded) {
  gateway::event_hub hub(1, 0);
  const auto box = std::make_shared<gateway::event_box>(
      io_.get_executor(), gateway::limits::event_backlog_max, nullptr);
  ASSERT_TRUE(hub.add(box, {}));
  core::note note;
  note.text = "news";
  for (std::size_t at = 0; at < gateway::limits::event_backlog_max; ++at)
    hub.publish(note);
  EXPECT_FALSE(box->overflowed());
  hub.publish(note);
  EXPECT_TRUE(box->overflowed());
  box->close();
}

/// More than the kernel, one write and the backlog hold together.
TEST_F(AdminEvents, AnEventStreamReadTooSlowlySaysThatSomeAreMissing) {
  start();
  constexpr int receive_buffer_bytes = 64 * 1024;
  http_client client(http_port(), receive_buffer_bytes);
  client.send(http_client::request("GET", "/api/v1/events"));
  client.read_until(": connected");
  core::note note;
  note.text = std::string(4096, 'x');
  for (int at = 0; at < 2'000; ++at)
    port_.publish(note);
  EXPECT_NE(client.read_until("some are missing").find("\"level\":\"warning\""), std::string::npos);
}

TEST_F(AdminEvents, EventStreamsAreBounded) {
  config_.limits.event_streams = 1;
  start();
  http_client first(http_port());
  first.send(http_client::request("GET", "/api/v1/events"));
  first.read_until(": connected");
  http_client second(http_port());
  EXPECT_EQ(second.get("/api/v1/events").status, 429);
}

} // namespace
} // namespace consort::testing
