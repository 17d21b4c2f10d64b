// SPDX-License-Identifier: Apache-2.0
// An artifact from one node's data port into another node's store, against curl of the same URL
// into a file: plain HTTP on loopback, one process on either end. Ours also hashes and syncs; how
// long that takes alone is told beside it. Usage: transfer_bench [MiB] [RUNS] [FOLDER]
#include "node/artifact_fetch.hpp"
#include "node/data_port.hpp"
#include "node/file_digest.hpp"
#include "tests/support/io_threads.hpp"
#include "tests/support/scripted_attempts.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace consort;
namespace fs = std::filesystem;
using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point began) {
  return std::chrono::duration<double>(steady::now() - began).count();
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "transfer_bench: %s\n", why.c_str());
  std::exit(1);
}

/// Content that neither compresses nor repeats.
artifact_record fill(node::artifact_store& store, std::size_t mebibytes) {
  auto staging = store.stage(mebibytes << 20U);
  if (!staging)
    give_up(staging.failure().message);
  std::ofstream file(staging->output_path(), std::ios::binary);
  std::vector<std::uint64_t> block(1U << 17U);
  std::uint64_t state = 88172645463325252ULL;
  for (std::size_t at = 0; at < mebibytes; ++at) {
    for (auto& word : block) {
      state ^= state << 13U;
      state ^= state >> 7U;
      word = state ^= state << 17U;
    }
    file.write(reinterpret_cast<const char*>(block.data()), 1 << 20U);
  }
  file.close();
  artifact_key key;
  key.binds = std::string(64, 'b');
  key.profile.name = "bench";
  auto record = store.put(*std::move(staging), key, {}, 1);
  if (!record)
    give_up(record.failure().message);
  return *record;
}

/// The sending node, in a process of its own, until its parent is gone and the pipe `life` with it.
/// Returns: its address.
std::string serve(const std::string& folder, const int (&life)[2]) {
  int told[2];
  if (::pipe(told) != 0)
    give_up("no pipe");
  if (::fork() == 0) {
    ::close(life[1]);
    auto store = node::artifact_store::open(folder, node_id("a"));
    testing::io_threads threads;
    testing::scripted_attempts attempts;
    auto port = node::data_port::start(threads.io(), {}, attempts, **store);
    const auto address = (*port)->address() + "\n";
    [[maybe_unused]] const auto written = ::write(told[1], address.data(), address.size());
    char waste = 0;
    while (::read(life[0], &waste, 1) > 0) {
    }
    port->reset();
    threads.stop();
    std::_Exit(0);
  }
  std::string address;
  for (char letter = 0; ::read(told[0], &letter, 1) == 1 && letter != '\n';)
    address += letter;
  return address;
}

double fetch_once(const artifact_record& record, const std::string& address,
                  const std::string& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  auto store = node::artifact_store::open(folder, node_id("b"));
  testing::io_threads threads;
  node::artifact_fetcher fetcher(threads.io(), **store, nullptr);
  std::promise<result<artifact_record>> told;
  const auto began = steady::now();
  fetcher.fetch({record.content, record.key, node_id("a"), address},
                [&](result<artifact_record> got) { told.set_value(std::move(got)); });
  const auto got = told.get_future().get();
  const auto took = seconds_since(began);
  if (!got)
    give_up(got.failure().message);
  fetcher.stop();
  threads.stop();
  return took;
}

double curl_once(const artifact_record& record, const std::string& address,
                 const std::string& file) {
  fs::remove(file);
  const auto command = "curl --silent --show-error --fail --output " + file + " http://" + address
                       + "/v1/artifacts/" + record.content.value;
  const auto began = steady::now();
  if (std::system(command.c_str()) != 0)
    give_up("curl failed");
  return seconds_since(began);
}

} // namespace

int main(int argc, char** argv) {
  const auto mebibytes = static_cast<std::size_t>(argc > 1 ? std::atol(argv[1]) : 1'024);
  const int runs = argc > 2 ? std::atoi(argv[2]) : 5;
  const std::string folder = argc > 3 ? argv[3] : "/tmp/consort-transfer";
  fs::remove_all(folder);
  fs::create_directories(folder);
  artifact_record record;
  {
    auto store = node::artifact_store::open(folder + "/a", node_id("a"));
    record = fill(**store, mebibytes);
  }
  int life[2];
  if (::pipe(life) != 0)
    give_up("no pipe");
  const auto address = serve(folder + "/a", life);
  std::vector<double> ours, theirs, hashes;
  for (int run = 0; run < runs; ++run) {
    theirs.push_back(curl_once(record, address, folder + "/curl"));
    ours.push_back(fetch_once(record, address, folder + "/b"));
    const auto began = steady::now();
    static_cast<void>(node::hash_file(folder + "/curl"));
    hashes.push_back(seconds_since(began));
  }
  const auto median = [](std::vector<double> of) {
    std::sort(of.begin(), of.end());
    return of[of.size() / 2];
  };
  const auto size = static_cast<double>(mebibytes);
  std::printf(
      "%zu MiB, %d runs, medians: curl %.2f s (%.0f MiB/s), fetch %.2f s (%.0f MiB/s, %.0f %% "
      "of curl); SHA-256 alone %.2f s\n",
      mebibytes, runs, median(theirs), size / median(theirs), median(ours), size / median(ours),
      100 * median(theirs) / median(ours), median(hashes));
  std::fflush(stdout);
  ::_exit(0);
}
