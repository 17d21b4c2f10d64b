// SPDX-License-Identifier: Apache-2.0
// What the gateway alone costs: a scheduler and a node that answer at once, real loopback sockets,
// and clients that only count bytes. One io thread serves; clients have threads of their own.
// Usage: gateway_bench [CLIENTS] [SECONDS] [TOKENS-PER-STREAM]
#include "gateway/server.hpp"
#include "tests/bench/instant_port.hpp"
#include "tests/support/http_client.hpp"

#include <boost/asio/io_context.hpp>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdio>

namespace {

using namespace consort;
using namespace consort::testing;
using consort::bench::instant_port;
using clock_type = std::chrono::steady_clock;

class instant_node final : public attempt_service {
public:
  explicit instant_node(int tokens) : tokens_(tokens) {}
  std::unique_ptr<attempt_stream> open(const ticket&, attempt_body,
                                       std::shared_ptr<attempt_sink> sink) override {
    sink->on_event(attempt_opened{8, 0});
    for (int at = 0; at < tokens_; ++at)
      sink->on_event(attempt_tokens{0, " token", {at}, ""});
    sink->on_event(attempt_choice_done{0, "length"});
    sink->on_event(attempt_completed{{8, static_cast<std::uint32_t>(tokens_), 0}, 1, 0});
    return std::make_unique<stream>();
  }

private:
  class stream final : public attempt_stream {
    void cancel() override {}
  };
  int tokens_;
};

std::string body(bool streaming) {
  return std::string(R"({"model":"m","prompt":"Once upon a time","stream":)")
         + (streaming ? "true}" : "false}");
}

/// Requests answered per second by `clients` closed loops.
double measure(std::uint16_t port, int clients, double seconds, bool streaming) {
  std::atomic<std::uint64_t> answered = 0;
  const auto until = clock_type::now() + std::chrono::duration<double>(seconds);
  std::vector<std::thread> threads;
  for (int at = 0; at < clients; ++at)
    threads.emplace_back([&] {
      http_client client(port);
      while (clock_type::now() < until)
        answered += client.post("/v1/completions", body(streaming)).complete ? 1 : 0;
    });
  for (auto& thread : threads)
    thread.join();
  return static_cast<double>(answered) / seconds;
}

} // namespace

int main(int argc, char** argv) {
  const int clients = argc > 1 ? std::atoi(argv[1]) : 8;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  const int tokens = argc > 3 ? std::atoi(argv[3]) : 256;
  spdlog::set_level(spdlog::level::warn);
  boost::asio::io_context io;
  instant_port port;
  for (const int length : {1, tokens}) {
    instant_node node(length);
    gateway::server_config config;
    config.port = 0;
    config.limits.drain = 0;
    io.restart();
    auto server = gateway::server::start(io, config, port, [&](const ticket&) { return &node; });
    if (!server) {
      std::fprintf(stderr, "%s\n", server.failure().message.c_str());
      return 1;
    }
    std::thread runner([&] { io.run(); });
    for (const bool streaming : {false, true}) {
      const auto rate = measure((*server)->port(), clients, seconds, streaming);
      std::printf("%-10s %4d tokens %3d clients: %9.0f requests/s %11.0f tokens/s\n",
                  streaming ? "streamed" : "whole", length, clients, rate, rate * length);
    }
    (*server)->stop_now();
    runner.join();
  }
  return 0;
}
