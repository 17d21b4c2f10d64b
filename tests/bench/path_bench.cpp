// SPDX-License-Identifier: Apache-2.0
// What the whole path adds to the time to first token: the CPU device's engine in a host process of
// its own, asked directly, against the same engine behind a running server's HTTP, in one run.
// Usage: path_bench CONSORT URL [STREAMS [ROUNDS]], where CONSORT is the release binary and URL a
// `consort up` of the same build. Rounds of both kinds alternate, so that both see the same
// machine; STREAMS requests start together in each. Prints p50 and p99 of both and the differences.
#include "cli/load_client.hpp"
#include "node/builtin_cpu.hpp"
#include "node/file_digest.hpp"
#include "node/gguf.hpp"
#include "node/limits.hpp"
#include "node/runtimes/c_abi_runtime.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

namespace {

using namespace consort;
using steady = std::chrono::steady_clock;

constexpr std::uint32_t max_tokens = 48;
constexpr std::uint32_t input_tokens = 32;
constexpr auto patience = std::chrono::seconds(60);

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "path_bench: %s\n", why.c_str());
  std::exit(1);
}

/// Times of one round's first tokens; wakes whoever waits when all attempts ended.
struct round_times {
  std::mutex mutex;
  std::condition_variable ended;
  std::vector<duration_us> first_token_us;
  std::uint32_t open = 0;
};

class first_token_sink final : public attempt_sink {
public:
  explicit first_token_sink(std::shared_ptr<round_times> round) : round_(std::move(round)) {}
  void on_event(attempt_event happened) override {
    const std::lock_guard lock(round_->mutex);
    if (std::holds_alternative<attempt_tokens>(happened) && !seen_) {
      seen_ = true;
      round_->first_token_us.push_back(
          std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - began_).count());
    }
    if (const auto* failed = std::get_if<attempt_aborted>(&happened))
      give_up("the engine refused: " + failed->failure.message);
    if (std::holds_alternative<attempt_completed>(happened) && --round_->open == 0)
      round_->ended.notify_all();
  }

private:
  std::shared_ptr<round_times> round_;
  steady::time_point began_ = steady::now();
  bool seen_ = false;
};

/// The shipped model in a host process, as the CPU plugin starts it.
class direct_engine {
public:
  direct_engine(const std::string& consort, std::uint32_t sequences)
      : guard_(io_.get_executor()), pump_([this] { io_.run(); }) {
    const auto prefix = std::filesystem::path(consort).parent_path().parent_path();
    node::c_abi_options options;
    options.executable = consort;
    options.library = (prefix / "lib/consort/libconsort-llama.so").string();
    options.threads = std::max(std::thread::hardware_concurrency(), 2U) - 1;
    options.sequences = sequences;
    runtime_ = std::make_unique<node::c_abi_runtime>(io_, std::move(options));
    open();
  }
  ~direct_engine() {
    session_.reset();
    runtime_.reset();
    guard_.reset();
    io_.stop();
    pump_.join();
  }

  std::vector<duration_us> round(std::uint32_t streams) {
    const auto times = std::make_shared<round_times>();
    times->open = streams;
    for (std::uint32_t i = 0; i < streams; ++i) {
      const auto text = cli::made_up_prompt(input_tokens, ++asked_);
      attempt_body body;
      body.json = R"({"model":"m","prompt":")" + text + R"(","max_tokens":)"
                  + std::to_string(max_tokens) + R"(,"stream":true})";
      session_->submit(attempt_id{request_id{gateway_id{1}, asked_}, 1}, std::move(body),
                       std::make_shared<first_token_sink>(times));
    }
    std::unique_lock lock(times->mutex);
    if (!times->ended.wait_for(lock, patience, [&] { return times->open == 0; }))
      give_up("the engine did not answer in time");
    return times->first_token_us;
  }

private:
  void open() {
    const std::string model = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";
    node::digest_cache digests(std::filesystem::temp_directory_path() / "path_bench_digests.json");
    const auto variant = node::describe_gguf(model, digests);
    if (!variant)
      give_up(variant.failure().message);
    node::session_request wanted;
    wanted.instance = instance_id{1};
    wanted.model = model_name{"m"};
    wanted.variant = *variant;
    wanted.path = model;
    wanted.context_tokens = variant->context_tokens;
    std::mutex mutex;
    std::condition_variable opened;
    std::optional<error> failure;
    runtime_->open(
        wanted,
        [&](result<std::shared_ptr<node::runtime_session>> outcome) {
          const std::lock_guard lock(mutex);
          if (outcome)
            session_ = *outcome;
          else
            failure = outcome.failure();
          opened.notify_all();
        },
        [](const error& why) { give_up("the host process died: " + why.message); });
    std::unique_lock lock(mutex);
    if (!opened.wait_for(lock, patience, [&] { return session_ || failure; }) || failure)
      give_up(failure ? failure->message : "the engine did not load in time");
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread pump_;
  std::unique_ptr<node::c_abi_runtime> runtime_;
  std::shared_ptr<node::runtime_session> session_;
  std::uint64_t asked_ = 0;
};

std::vector<duration_us> through_server(const std::string& url, std::uint32_t streams) {
  cli::load_options load;
  load.url = url;
  load.model = "default";
  load.device = "cpu";
  load.input_tokens = input_tokens;
  load.max_tokens = max_tokens;
  load.streams = streams;
  load.requests = streams;
  const auto report = cli::run_load(load);
  if (!report)
    give_up(report.failure().message);
  if (report->finished != streams)
    give_up("the server failed some requests");
  return report->first_token_us;
}

double at(std::vector<duration_us>& values, double quantile) {
  std::sort(values.begin(), values.end());
  const auto index = static_cast<std::size_t>(quantile * static_cast<double>(values.size() - 1));
  return static_cast<double>(values[index]) / 1'000;
}

void append(std::vector<duration_us>& all, const std::vector<duration_us>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    give_up("usage: path_bench CONSORT URL [STREAMS [ROUNDS]]");
  const auto streams = static_cast<std::uint32_t>(argc > 3 ? std::atoi(argv[3]) : 1);
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 30;
  direct_engine engine(std::filesystem::absolute(argv[1]), node::limits::cpu_sequences_max);
  std::vector<duration_us> direct;
  std::vector<duration_us> whole;
  for (int i = 0; i <= rounds; ++i) { // The first round warms both up and is thrown away.
    const auto alone = engine.round(streams);
    const auto served = through_server(argv[2], streams);
    if (i == 0)
      continue;
    append(direct, alone);
    append(whole, served);
  }
  const double direct_p50 = at(direct, 0.5), direct_p99 = at(direct, 0.99);
  const double whole_p50 = at(whole, 0.5), whole_p99 = at(whole, 0.99);
  std::printf("first token, %u streams, %d rounds, ms\n", streams, rounds);
  std::printf("  engine alone  p50 %7.2f  p99 %7.2f\n", direct_p50, direct_p99);
  std::printf("  whole path    p50 %7.2f  p99 %7.2f\n", whole_p50, whole_p99);
  std::printf("  added         p50 %7.2f  p99 %7.2f\n", whole_p50 - direct_p50,
              whole_p99 - direct_p99);
  return 0;
}
