// SPDX-License-Identifier: Apache-2.0
// The parts of a rehearsal with real processes that need no process: what it refuses, its prompts,
// its links, its comparison. tests/system/sim_live.test.mjs plays whole ones.
#include "cli/config.hpp"
#include "cli/live/clients.hpp"
#include "cli/live/configuration.hpp"
#include "cli/live/lateness.hpp"
#include "cli/live/limits.hpp"
#include "cli/live/networks.hpp"
#include "cli/live/plan.hpp"
#include "cli/live/relay.hpp"
#include "cli/live/report.hpp"

#include <gmock/gmock.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <nlohmann/json.hpp>

#include <poll.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace consort::live {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

struct read_file {
  strict_json::value root;
  sim::scenario plan;
};

/// What is in `middle` begins in line 4.
read_file parsed(const std::string& middle) {
  const auto text
      = R"({"name": "small", "nodes": [{"name": "edge-{n}", "count": 2, "devices": ["cpu-local"]}],
          "models": {"storyteller": {"weights": "10MiB", "kv_bytes_per_token": 3072}},
          "workload": [{"poisson": "1/s"}]
)" + middle
        + "}";
  const auto root = strict_json::parse(text, "small.json");
  const auto read = sim::parse_scenario(text, "small.json");
  EXPECT_TRUE(read.ok()) << read.failure().message;
  return read ? read_file{*root, *read} : read_file{};
}

TEST(LivePlan, RefusesWhatProcessesCannotDoByItsLineAndField) {
  const auto why = [](const read_file& of) {
    const auto found = why_not_live(of.plan, of.root, "small.json");
    return found ? found->code + ": " + found->message : std::string("nothing");
  };
  EXPECT_EQ(why(parsed("")), "nothing");
  EXPECT_EQ(why(parsed(R"(, "faults": [{"at": "1s", "kill": "edge-0"},
      {"at": "1s", "pause": "edge-1"}, {"at": "1s", "slow": "edge-0/cpu0"}])")),
            "nothing");
  EXPECT_THAT(why(parsed(R"(, "faults": [{"at": "1s", "kill": "edge-0"},
      {"at": "1s", "loss": "edge-1", "share": 0.1}])")),
              testing::StartsWith("invalid_file: small.json:5: faults[1].loss: "));
  EXPECT_THAT(why(parsed(R"(, "faults": [{"at": "1s", "skew": "edge-0", "by": "1s"}])")),
              testing::HasSubstr("small.json:4: faults[0].skew: "));
  EXPECT_THAT(why(parsed(R"(, "network": {"latency": "5ms"})")),
              testing::HasSubstr("small.json:4: network: loopback"));
  EXPECT_THAT(why(parsed(R"(, "scheduler": {"lease": "999ms"})")),
              testing::HasSubstr("small.json:4: scheduler.lease: a real node needs 1s"));
  auto named = parsed("");
  named.plan.models.front().name = "a b";
  EXPECT_THAT(why(named), testing::HasSubstr("a real cluster refuses the name of this model, which "
                                             "must be of letters"));
  auto split = parsed(""); // A file that asks for it names chips that can.
  split.plan.models.front().devices_per_instance = 2;
  EXPECT_THAT(why(split), testing::HasSubstr("small.json:2: models.storyteller: an instance"));
  auto many = parsed("");
  many.plan.nodes.resize(limits::nodes_max + 1);
  EXPECT_THAT(why(many), testing::HasSubstr("small.json:1: nodes: 65"));
}

/// Goal: what a scenario says of its scheduler is what the process of a rehearsal reads.
TEST(LiveConfiguration, SaysAllThatTheScenarioSaysOfItsScheduler) {
  auto plan = parsed(R"(, "scheduler": { "lease": "2s", "queue_max": 7, "queue_timeout": "9s",
      "profiles": { "mine": { "weights": { "energy": 3, "prefix": 1 }, "filters": ["local"],
                              "pick": "slo", "waits": false } },
      "slo": { "ttft": "300ms", "batch": { "itl": "2s" } },
      "remote": { "use": "overflow", "budget_milli_per_hour": 250 } })")
                  .plan;
  plan.models.front().policy = policy_name{"mine"};
  const auto text
      = configuration_of(plan, "mine", [](const sim::scenario_model&) { return "/cards/m.sim"; });
  const auto read = cli::parse_config(
      text, "cluster.json", "/", [](const std::string&) { return std::optional<std::string>(); });
  ASSERT_TRUE(read.ok()) << read.failure().message;
  EXPECT_EQ(read->profiles, plan.profiles);
  EXPECT_EQ(read->profiles.size(), 1U);
  EXPECT_EQ(read->policy, policy_name{"mine"});
  EXPECT_EQ(read->slo, plan.aims);
  EXPECT_EQ(read->slo[0].ttft_us, 300'000);
  EXPECT_EQ(read->lease_us, 2'000'000);
  EXPECT_EQ(read->queue_max, 7U);
  EXPECT_EQ(read->queue_timeout_us, 9'000'000);
  EXPECT_EQ(read->remote, core::remote_use::overflow);
  EXPECT_EQ(read->remote_budget_micros_per_hour, 250'000U);
  EXPECT_EQ(read->models.at(0).policy, policy_name{"mine"});
  EXPECT_EQ(read->models[0].source, "/cards/m.sim");
}

TEST(LivePrompts, HaveTheTokensThatTheGatewayCounts) {
  for (const std::uint32_t tokens : {1U, 2U, 40U, 1'000U})
    EXPECT_EQ(prompt_of("req-1", tokens, {}).size() / 4 + 1, tokens);
  EXPECT_NE(prompt_of("req-1", 40, {}), prompt_of("req-2", 40, {}));
  const auto begin = [](const char* request, std::uint64_t second) {
    return prompt_of(request, 100, {{7, second}, 16});
  };
  EXPECT_EQ(begin("req-1", 8).substr(0, 128), begin("req-2", 8).substr(0, 128));
  EXPECT_NE(begin("req-1", 8).substr(128), begin("req-2", 8).substr(128));
  EXPECT_EQ(begin("req-1", 8).substr(0, 64), begin("req-1", 9).substr(0, 64));
  EXPECT_NE(begin("req-1", 8).substr(64, 64), begin("req-1", 9).substr(64, 64));
}

TEST(LivePrompts, TokensOfAnAnswerAreTheirPlaces) {
  EXPECT_THAT(token_places("sim0 sim1 sim12 "), testing::ElementsAre(0, 1, 12));
  EXPECT_THAT(token_places("Once sim3 "), testing::ElementsAre(-1, 3));
  EXPECT_THAT(token_places(""), testing::IsEmpty());
}

TEST(LiveReport, SetsFiguresBesideEachOther) {
  sim::run_summary simulated, lived;
  simulated.figures = {{"ttft_p50_ms", 40}, {"failovers", 0}, {"resumes", 0}};
  lived.figures = {{"ttft_p50_ms", 42}, {"failovers", 0}, {"resumes", 2}};
  const auto rows = compare(simulated, lived);
  const auto row = [&](const std::string& name) {
    for (const auto& one : rows)
      if (one.figure == name)
        return one;
    return comparison_row{};
  };
  EXPECT_DOUBLE_EQ(*row("ttft_p50_ms").ratio(), 1.05);
  EXPECT_EQ(row("failovers").ratio(), 1);
  EXPECT_FALSE(row("resumes").ratio()) << "nothing is twice as much as none";
  EXPECT_FALSE(row("itl_p50_ms").ratio());
  const auto text = render_comparison(rows);
  EXPECT_THAT(text, testing::HasSubstr("VIRTUAL"));
  EXPECT_THAT(text, testing::HasSubstr("1.050"));
  const auto told = nlohmann::json::parse(
      comparison_json({"small", 7, "latency", "1", "consort"}, rows, simulated, lived));
  EXPECT_EQ(told["figures"][0]["figure"], "ttft_p50_ms");
  EXPECT_EQ(told["figures"][0]["live"], 42);
  EXPECT_TRUE(told["passed"]);
}

TEST(LiveReport, ABusyHostIsToldAndAQuietOneIsNot) {
  sim::run_summary simulated, lived;
  lived.figures = {{"host_late_p99_ms", limits::quiet_late_ms}};
  EXPECT_THAT(render_comparison(compare(simulated, lived)),
              testing::Not(testing::HasSubstr("busy")));
  lived.figures = {{"host_late_p99_ms", 10.05}};
  EXPECT_THAT(render_comparison(compare(simulated, lived)),
              testing::HasSubstr("busy: one in a hundred of what was due came 10.1 ms late"));
}

TEST(LiveLateness, SeesAThreadThatIsHeldUp) {
  asio::io_context io;
  lateness late(io);
  EXPECT_FALSE(late.percentile(1'000));
  asio::post(io, [] {
    const auto end = std::chrono::steady_clock::now() + 5 * limits::late_look;
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  io.run_one();
  io.run_one();
  ASSERT_TRUE(late.percentile(1'000));
  EXPECT_GE(*late.percentile(1'000), 4 * std::chrono::microseconds(limits::late_look).count());
}

/// A client, the relay, and a server, all on one thread that the test turns.
class LiveRelay : public ::testing::Test {
protected:
  LiveRelay() : server_(io_, {asio::ip::address_v4::loopback(), 0}) {
    auto made = relay::start(io_);
    EXPECT_TRUE(made.ok());
    relay_ = std::move(*made);
    relay_->lead_to(server_.local_endpoint().port());
  }
  ~LiveRelay() override {
    relay_.reset();
    io_.poll();
  }

  void connect() {
    server_.async_accept([this](const boost::system::error_code& failed, tcp::socket made) {
      accepted_ = !failed;
      there_ = std::move(made);
    });
    here_.connect({asio::ip::address_v4::loopback(), relay_->port()});
  }
  /// Turns the thread until it is so; false when it does not become so.
  template <class Condition>
  bool becomes(const Condition& so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!so() && std::chrono::steady_clock::now() < end)
      io_.run_one_for(std::chrono::milliseconds(10));
    return so();
  }
  /// What arrives at a side from now on.
  void listen(tcp::socket& side, std::string& into) {
    side.async_read_some(
        asio::buffer(piece_),
        [this, &side, &into](const boost::system::error_code& failed, std::size_t count) {
          into += failed ? "|" : std::string(piece_.data(), count);
          if (!failed)
            listen(side, into);
        });
  }

  asio::io_context io_;
  tcp::acceptor server_;
  std::unique_ptr<relay> relay_;
  std::string at_server_, at_client_; ///< What came; written to the very end.
  tcp::socket here_{io_}, there_{io_};
  std::array<char, 64> piece_{};
  bool accepted_ = false;
};

TEST_F(LiveRelay, PassesHoldsAndLetsGo) {
  connect();
  ASSERT_TRUE(becomes([&] { return accepted_; }));
  auto& heard = at_server_;
  listen(there_, heard);
  asio::write(here_, asio::buffer("one", 3));
  EXPECT_TRUE(becomes([&] { return heard == "one"; }));
  relay_->hold(true, false);
  asio::write(here_, asio::buffer("two", 3));
  for (int round = 0; round < 5; ++round)
    io_.run_one_for(std::chrono::milliseconds(10));
  EXPECT_EQ(heard, "one") << "held: nothing arrives, and nothing breaks";
  EXPECT_EQ(relay_->connections(), 1U);
  relay_->hold(false, false);
  EXPECT_TRUE(becomes([&] { return heard == "onetwo"; }));
}

TEST_F(LiveRelay, ACutLinkIsResetAndTakesNobody) {
  connect();
  ASSERT_TRUE(becomes([&] { return accepted_; }));
  auto& here = at_client_;
  auto& there = at_server_;
  listen(there_, there);
  relay_->cut(true);
  EXPECT_TRUE(becomes([&] { return there == "|"; }));
  EXPECT_TRUE(becomes([&] { return relay_->connections() == 0; }));
  tcp::socket again(io_);
  again.connect({asio::ip::address_v4::loopback(), relay_->port()});
  listen(again, here); // Ends here: it is reset.
  EXPECT_TRUE(becomes([&] { return here == "|"; }));
  relay_->cut(false);
  here_ = tcp::socket(io_);
  accepted_ = false;
  connect();
  EXPECT_TRUE(becomes([&] { return accepted_; }));
}

std::string own_network() {
  return std::filesystem::read_symlink("/proc/thread-self/ns/net").string();
}

TEST(LiveNetworks, AHostThatCannotHaveThemSaysWhyAndStaysAsItIs) {
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", "/nonexistent", 1), 0);
  const auto before = own_network();
  const auto made = networks::make(1);
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.failure().code, "no_namespaces");
  EXPECT_THAT(made.failure().message,
              testing::AnyOf(testing::Eq("not root"), testing::HasSubstr("no `ip` in PATH")));
  EXPECT_EQ(own_network(), before);
}

/// A server in one node's network, a client in the hub; both on the test's thread.
class LiveNetworksHeld : public ::testing::Test {
protected:
  void SetUp() override {
    auto made = networks::make(2);
    if (!made)
      GTEST_SKIP() << made.failure().message;
    networks_ = std::move(*made);
    const networks::visit there(*networks_, 0);
    ASSERT_TRUE(there.arrived());
    server_.emplace(io_, tcp::endpoint(asio::ip::make_address(networks::address_of(0)), 0));
  }
  void connect() {
    here_.connect(server_->local_endpoint());
    there_ = server_->accept();
    there_.non_blocking(true);
    here_.non_blocking(true);
  }
  static bool sent(tcp::socket& from, tcp::socket& to, std::chrono::milliseconds wait) {
    boost::system::error_code failed;
    from.write_some(asio::buffer("x", 1), failed);
    return !failed && arrived(to, wait);
  }
  static bool arrived(tcp::socket& at, std::chrono::milliseconds wait) {
    pollfd watched{at.native_handle(), POLLIN, 0};
    if (::poll(&watched, 1, static_cast<int>(wait.count())) != 1)
      return false;
    char taken = 0;
    boost::system::error_code failed;
    return at.read_some(asio::buffer(&taken, 1), failed) == 1;
  }

  static constexpr std::chrono::milliseconds soon{10'000};
  static constexpr std::chrono::milliseconds never{100};
  std::string before_ = own_network();
  asio::io_context io_;
  std::unique_ptr<networks> networks_;
  std::optional<tcp::acceptor> server_;
  tcp::socket here_{io_}, there_{io_};
};

TEST_F(LiveNetworksHeld, DropWhatANodeIsSentOrSendsAndLetItGoOn) {
  connect();
  EXPECT_TRUE(sent(here_, there_, soon));
  ASSERT_TRUE(networks_->hold(0, false, true).ok());
  EXPECT_FALSE(sent(here_, there_, never)) << "it is sent nothing";
  EXPECT_TRUE(sent(there_, here_, soon)) << "what it sends passes";
  ASSERT_TRUE(networks_->hold(0, false, false).ok());
  EXPECT_TRUE(arrived(there_, soon)) << "sent again by TCP";
  ASSERT_TRUE(networks_->hold(0, true, false).ok());
  EXPECT_FALSE(sent(there_, here_, never));
  ASSERT_TRUE(networks_->hold(0, false, false).ok());
  EXPECT_TRUE(arrived(here_, soon));
}

TEST_F(LiveNetworksHeld, NodesReachEachOtherAndNothingIsLeft) {
  {
    const networks::visit other(*networks_, 1);
    ASSERT_TRUE(other.arrived());
    connect();
  }
  EXPECT_TRUE(sent(here_, there_, soon));
  EXPECT_NE(own_network(), before_);
  networks_ = nullptr;
  EXPECT_EQ(own_network(), before_);
  EXPECT_FALSE(std::filesystem::exists("/sys/class/net/hub"));
}

} // namespace
} // namespace consort::live
