// SPDX-License-Identifier: Apache-2.0
// Who gives way when every place is taken: by table, and over sockets from several addresses.
#include "tests/unit/gateway/gateway_fixture.hpp"

#include "gateway/crowd.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

namespace consort::testing {
namespace {

using gateway::guest;
using gateway::stage;
using gateway::who_gives_way;
using numbers = std::vector<std::uint64_t>;

TEST(Crowd, TheAddressWithMostConnectionsGivesFirst) {
  const std::vector<guest> all{{1, "a", stage::idle, 10},
                               {2, "b", stage::asking, 30},
                               {3, "b", stage::idle, 40},
                               {4, "b", stage::asking, 20}};
  EXPECT_EQ(who_gives_way(all, 1), numbers{3}) << "idle before asking, however long";
  EXPECT_EQ(who_gives_way(all, 2), (numbers{3, 4})) << "then who has asked for longest";
  EXPECT_EQ(who_gives_way(all, 3), (numbers{3, 4, 1})) << "one each: the idle one";
  EXPECT_EQ(who_gives_way(all, 9), (numbers{3, 4, 1, 2}));
}

TEST(Crowd, WhoIsServedStaysAndCounts) {
  const std::vector<guest> all{{1, "a", stage::idle, 10},
                               {2, "a", stage::idle, 20},
                               {3, "proxy", stage::serving, 0},
                               {4, "proxy", stage::serving, 0},
                               {5, "proxy", stage::idle, 30}};
  EXPECT_EQ(who_gives_way(all, 9), (numbers{5, 1, 2}));
  EXPECT_TRUE(who_gives_way({{3, "proxy", stage::serving, 0}}, 1).empty());
  EXPECT_TRUE(who_gives_way({}, 1).empty());
}

class CrowdedServer : public gateway_fixture {
protected:
  using tcp = boost::asio::ip::tcp;

  /// From another address of loopback.
  tcp::socket from(const char* address) {
    tcp::socket out(io_, tcp::v4());
    out.bind({boost::asio::ip::make_address(address), 0});
    out.connect({boost::asio::ip::address_v4::loopback(), http_port()});
    return out;
  }
  static void send(tcp::socket& socket, const std::string& bytes) {
    boost::asio::write(socket, boost::asio::buffer(bytes));
  }
  /// Returns: the status line's first 12 bytes, or less where the other end closed.
  static std::string heard(tcp::socket& socket) {
    std::string out(12, ' ');
    boost::system::error_code ignored;
    out.resize(boost::asio::read(socket, boost::asio::buffer(out), ignored));
    return out;
  }
  /// Reads the answer to `health` to its end.
  static bool healthy(tcp::socket& socket) {
    std::string out;
    boost::system::error_code failed;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(out), "\"ok\"}\n", failed);
    return !failed && out.starts_with(fine);
  }
  static inline const std::string health = http_client::request("GET", "/healthz");
  static inline const std::string fine = "HTTP/1.1 200";
};

TEST_F(CrowdedServer, OneAddressKeepsNobodyOut) {
  config_.limits.connections = 8;
  start();
  auto other = from("127.0.0.3");
  send(other, health);
  EXPECT_TRUE(healthy(other));
  std::vector<tcp::socket> crowd;
  for (int i = 0; i < 7; ++i) {
    crowd.push_back(from("127.0.0.2"));
    send(crowd.back(), i % 2 == 0 ? health : "GET /healthz HTTP/1.1\r\nX-Slow"); // And no more.
  }
  for (int round = 0; round < 3; ++round) {
    auto late = from("127.0.0.4");
    send(late, health);
    EXPECT_EQ(heard(late), fine);
  }
  send(other, health); // Which has been idle for longest.
  EXPECT_TRUE(healthy(other)) << "it was not cut";
}

TEST_F(CrowdedServer, WhoIsServedIsNotCutAndNewcomersWait) {
  config_.limits.connections = 2;
  hold_node();
  start();
  auto first = from("127.0.0.2");
  auto second = from("127.0.0.2");
  const auto request = http_client::request("POST", "/v1/chat/completions", chat_body);
  send(first, request);
  const auto attempt = node_.opened();
  send(second, request);
  (void)node_.opened();
  auto late = from("127.0.0.3");
  send(late, health);
  attempt.sink->on_event(attempt_tokens{0, "Hi", {1}, ""});
  attempt.sink->on_event(attempt_choice_done{0, "stop"});
  attempt.sink->on_event(attempt_completed{{1, 1, 0}, 1, 0});
  EXPECT_EQ(heard(first), fine);
  EXPECT_EQ(heard(late), fine) << "once the first was idle";
  http_client stranger(http_port());
  EXPECT_NE(stranger.get("/metrics").body.find("consort_http_connections_displaced_total 2"),
            std::string::npos);
}

/// What ends a connection by an exception must give its place back, and not hold up a stop.
TEST_F(CrowdedServer, AConnectionThatThrowsGivesItsPlaceBack) {
  config_.limits.connections = 1;
  port_.on_submit = [](const auto&, const auto&) { throw 1; };
  start();
  for (int round = 0; round < 2; ++round) {
    http_client client(http_port());
    client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
    EXPECT_EQ(client.read_all(), "");
  }
}

} // namespace
} // namespace consort::testing
