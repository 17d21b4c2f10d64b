// SPDX-License-Identifier: Apache-2.0
// What lies between an engine and its clients: one engine without arithmetic stands behind a real
// data port (so a real gateway serves it) and as plain server-sent events over HTTP (so that any
// proxy can). tests/storm/measure.mjs runs both against the same clients.
// Usage: relay_bench engine HOST:PORT TOKEN TOKENS STEP-US FOLDER [CREDENTIALS]
//        relay_bench load HOST:PORT MODEL STREAMS SECONDS
#include "node/artifact_store.hpp"
#include "node/data_port.hpp"
#include "tests/bench/simulated_agent.hpp"
#include "tests/bench/stepping_service.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <tuple>

namespace {

using namespace consort;

std::pair<std::string, std::uint16_t> split_address(const std::string& address) {
  const auto colon = address.rfind(':');
  return {address.substr(0, colon),
          static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1)))};
}

int complain(const error& failure) {
  std::fprintf(stderr, "%s: %s\n", failure.code.c_str(), failure.message.c_str());
  return 1;
}

int run_engine(const std::vector<std::string>& args) {
  boost::asio::io_context io(1);
  bench::step_clock clock(io, std::chrono::microseconds(std::stoul(args[3])));
  const auto tokens = static_cast<unsigned>(std::stoul(args[2]));
  bench::sse_engine plain(io, clock, tokens);
  bench::stepping_service service(io, clock, tokens);
  bench::agent_settings settings;
  settings.name = "instant";
  std::tie(settings.scheduler_host, settings.scheduler_port) = split_address(args[0]);
  settings.join_token = args[1];
  settings.devices = 1;
  settings.serves = true;
  if (args.size() > 5) {
    auto loaded = links::credentials::load(args[5]);
    if (!loaded)
      return complain(loaded.failure());
    settings.credentials = *loaded;
  }
  auto store = node::artifact_store::open(args[4], node_id{settings.name});
  if (!store)
    return complain(store.failure());
  node::data_port_options options;
  options.credentials = settings.credentials;
  auto port = node::data_port::start(io, std::move(options), service, **store);
  if (!port)
    return complain(port.failure());
  settings.data_address = (*port)->address();
  bench::simulated_agent agent(io, settings);
  if (const auto started = agent.start(); !started)
    return complain(started.failure());
  std::printf("http %u\n", plain.port());
  std::fflush(stdout);
  io.run();
  return 0;
}

int run_load(const std::vector<std::string>& args) {
  const double seconds = std::stod(args[3]);
  const auto seen = bench::run_load(split_address(args[0]).second, args[1],
                                    static_cast<unsigned>(std::stoul(args[2])),
                                    std::chrono::duration<double>(seconds));
  std::printf("{\"chunks\":%llu,\"answers\":%llu,\"bytes\":%llu,\"failures\":%llu,"
              "\"seconds\":%.3f}\n",
              static_cast<unsigned long long>(seen.events),
              static_cast<unsigned long long>(seen.answers),
              static_cast<unsigned long long>(seen.bytes),
              static_cast<unsigned long long>(seen.failures), seconds);
  return seen.failures == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::err);
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::vector<std::string> args(argv + std::min(argc, 2), argv + argc);
  if (mode == "engine" && args.size() >= 5)
    return run_engine(args);
  if (mode == "load" && args.size() == 4)
    return run_load(args);
  std::fprintf(stderr,
               "usage: %s engine HOST:PORT TOKEN TOKENS STEP-US FOLDER [CREDENTIALS]\n"
               "       %s load HOST:PORT MODEL STREAMS SECONDS\n",
               argv[0], argv[0]);
  return 2;
}
