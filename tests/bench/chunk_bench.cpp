// SPDX-License-Identifier: Apache-2.0
// What one chunk of a stream costs on its way: an engine without arithmetic behind a real data
// port, a gateway that asks it over mutual TLS, and clients that only count. Each has a thread of
// its own in this one process, whose CPU is counted, so that neither a scheduler nor the load of
// the machine takes part. `perf record` and `valgrind --tool=callgrind` see the whole path at once.
// Usage: chunk_bench [STREAMS] [STEP-US] [SECONDS]
#include "gateway/data_ports.hpp"
#include "gateway/server.hpp"
#include "links/certificates.hpp"
#include "node/artifact_store.hpp"
#include "node/data_port.hpp"
#include "tests/bench/instant_port.hpp"
#include "tests/bench/stepping_service.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>

namespace {

using namespace consort;
namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr unsigned tokens_per_answer = 400;

/// A folder that goes with its owner.
struct scratch {
  fs::path folder = [] {
    std::string pattern = (fs::temp_directory_path() / "consort-chunk-XXXXXX").string();
    return fs::path(::mkdtemp(pattern.data()));
  }();
  ~scratch() { fs::remove_all(folder); }
};

std::shared_ptr<links::credentials> credentials_of(const links::key_pair& authority,
                                                   links::peer_role role, const char* name,
                                                   const fs::path& folder) {
  const auto leaf = links::issue(authority, {.role = role, .name = name});
  if (!leaf || !links::write_leaf(folder, authority.certificate, *leaf))
    return nullptr;
  auto loaded = links::credentials::load(folder);
  return loaded ? *loaded : nullptr;
}

/// An io_context on a thread of its own, and the CPU that it used.
class busy_thread {
public:
  ~busy_thread() { join(); }
  asio::io_context io{1};

  void begin() {
    thread_ = std::thread([this] { io.run(); });
    pthread_getcpuclockid(thread_.native_handle(), &clock_);
  }
  [[nodiscard]] double cpu_us() const {
    std::timespec spent{};
    clock_gettime(clock_, &spent);
    return 1e6 * static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e3;
  }
  void join() {
    stay_.reset();
    io.stop();
    if (thread_.joinable())
      thread_.join();
  }

private:
  asio::executor_work_guard<asio::io_context::executor_type> stay_{io.get_executor()};
  std::thread thread_;
  clockid_t clock_{};
};

} // namespace

int main(int argc, char** argv) {
  const auto streams = static_cast<unsigned>(argc > 1 ? std::atoi(argv[1]) : 64);
  const auto step = std::chrono::microseconds(argc > 2 ? std::atoi(argv[2]) : 4'000);
  const std::chrono::duration<double> span(argc > 3 ? std::atof(argv[3]) : 3);
  spdlog::set_level(spdlog::level::warn);
  const scratch own;
  const auto authority = links::make_authority("bench");
  const auto of_node
      = credentials_of(*authority, links::peer_role::node, "local", own.folder / "node");
  const auto of_gateway
      = credentials_of(*authority, links::peer_role::gateway, "g", own.folder / "gateway");
  auto store = node::artifact_store::open(own.folder / "store", node_id("local"));
  if (!of_node || !of_gateway || !store)
    return 1;

  busy_thread engine, front;
  bench::step_clock clock(engine.io, step);
  bench::stepping_service service(engine.io, clock, tokens_per_answer);
  node::data_port_options options;
  options.credentials = of_node;
  auto port = node::data_port::start(engine.io, std::move(options), service, **store);
  if (!port)
    return 1;
  bench::instant_port scheduler((*port)->address());
  gateway::data_ports nodes(front.io, of_gateway);
  gateway::server_config config;
  config.port = 0;
  config.limits.drain = 0;
  auto server = gateway::server::start(front.io, config, scheduler,
                                       [&](const ticket& granted) { return nodes.find(granted); });
  if (!server)
    return 1;
  engine.begin();
  front.begin();

  // The handshakes come first and are not counted.
  (void)bench::run_load((*server)->port(), "m", streams, std::chrono::milliseconds(1'000));
  const double before[] = {engine.cpu_us(), front.cpu_us()};
  const auto seen = bench::run_load((*server)->port(), "m", streams, span);
  const double used[] = {engine.cpu_us() - before[0], front.cpu_us() - before[1]};
  const auto chunks = static_cast<double>(std::max<std::uint64_t>(seen.events, 1));
  std::printf("%.0f chunks/s: %.2f us of CPU a chunk at the engine and its data port, %.2f us at "
              "the gateway; %llu failures\n",
              chunks / span.count(), used[0] / chunks, used[1] / chunks,
              static_cast<unsigned long long>(seen.failures));
  (*server)->stop_now();
  (*port)->stop();
  front.join();
  engine.join();
  return 0;
}
