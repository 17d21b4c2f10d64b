// SPDX-License-Identifier: Apache-2.0
// Decisions per second of the core alone: one iteration is a request's whole life (submitted,
// ticket, started, finished) on a cluster whose devices all serve one model, with an attempt
// running on every device, so that scores differ and the scan has something to choose.
#include "scheduler/core.hpp"
#include "scheduler/prng.hpp"

#include <benchmark/benchmark.h>

#include <deque>

namespace consort::core {

namespace {

constexpr std::uint32_t sequences = 8;

class cluster {
public:
  explicit cluster(std::uint64_t devices) : core_(core_config{}) {
    model_spec model;
    model.name = model_name{"storyteller"};
    model.variants = {{"gguf",
                       "model.gguf",
                       digest{std::string(64, 'a')},
                       "",
                       "f16",
                       "",
                       {},
                       {},
                       1 << 20U,
                       1024,
                       4096}};
    model.replicas_min = static_cast<std::uint32_t>(devices);
    for (std::uint64_t each = 0; each < devices; ++each)
      add_device(each);
    feed(model_declared{model});
    while (answer_loads())
      continue;
  }

  /// Submits one request; its ticket comes at once or, when waiting is predicted to be faster, with
  /// a later end.
  void submit() {
    request_meta meta;
    meta.id = {gateway_id{1}, ++sequence_};
    meta.external_id = "request-" + std::to_string(sequence_);
    meta.model = model_name{"storyteller"};
    meta.prompt_tokens = static_cast<std::uint32_t>(16 + chance_.below(2'000));
    meta.max_tokens = static_cast<std::uint32_t>(1 + chance_.below(256));
    feed(request_submitted{std::move(meta)});
    start_granted();
  }
  /// The oldest running attempt ends.
  void finish_one() {
    attempt_measurement measured;
    measured.usage = {1'000, 100, 0};
    measured.first_token_us = static_cast<duration_us>(20'000 + chance_.below(60'000));
    measured.total_us = measured.first_token_us + static_cast<duration_us>(chance_.below(900'000));
    measured.batch = 1;
    feed(attempt_finished{running_.front(), measured});
    running_.pop_front();
    start_granted();
  }
  [[nodiscard]] std::uint64_t decisions() const { return core_.view(now_).counters.decisions; }
  [[nodiscard]] std::size_t running() const { return running_.size(); }
  void keep_alive() {
    for (const auto& node : nodes_)
      feed(lease_renewed{node, incarnation{1}});
  }

private:
  void feed(const event& happened) {
    out_.clear();
    core_.step(happened, ++now_, out_);
  }

  void start_granted() {
    granted_.clear();
    for (const auto& one : out_)
      if (const auto* granted = std::get_if<grant_ticket>(&one))
        granted_.push_back(granted->granted.attempt);
    for (const auto& attempt : granted_) {
      running_.push_back(attempt);
      feed(attempt_started{attempt});
    }
  }

  void add_device(std::uint64_t number) {
    const node_id node{"n" + std::to_string(number / 8)};
    if (number % 8 == 0) {
      nodes_.push_back(node);
      feed(node_joined{node, incarnation{1}, "10.0.0.1:4281", {}, {}});
    }
    device_spec spec;
    spec.id = device_id{node.value + "/gpu" + std::to_string(number % 8)};
    spec.node = node;
    spec.type = resource_type::gpu;
    spec.model = "sku";
    spec.memory_bytes = std::uint64_t{1} << 34U;
    spec.capability.formats = {"gguf"};
    spec.capability.max_sequences = sequences;
    spec.spec.prefill_tokens_per_s = 10'000 + chance_.below(20'000);
    spec.spec.decode_tokens_per_s = 50 + chance_.below(150);
    spec.spec.decode_batch_gain_pm = 50;
    feed(device_advertised{spec, incarnation{1}});
    owed();
  }

  void owed() { pending_.insert(pending_.end(), out_.begin(), out_.end()); }

  bool answer_loads() {
    owed();
    auto commands = std::move(pending_);
    pending_.clear();
    for (const auto& one : commands) {
      if (const auto* asked = std::get_if<reserve_allocation>(&one))
        feed(allocation_reserved{asked->grant.id, asked->node, incarnation{1}, asked->grant.fence});
      else if (const auto* load = std::get_if<load_replica>(&one))
        feed(replica_loaded{load->instance, incarnation{1}, {}, {}, 1'000});
      else
        continue;
      owed();
      out_.clear();
    }
    return !pending_.empty();
  }

  core core_;
  prng chance_{42};
  time_us now_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<node_id> nodes_;
  std::vector<command> out_;
  std::deque<command> pending_;
  std::vector<attempt_id> granted_;
  std::deque<attempt_id> running_;
};

void decide(benchmark::State& state) {
  const auto devices = static_cast<std::uint64_t>(state.range(0));
  cluster world(devices);
  for (std::uint64_t each = 0; each < devices; ++each)
    world.submit();
  const auto before = world.decisions();
  std::uint64_t decided = 0;
  for (auto step : state) {
    (void)step;
    world.submit();
    world.finish_one();
    // Virtual time moves by a microsecond per event: leases last as in production.
    if (++decided % 500'000 == 0)
      world.keep_alive();
  }
  state.counters["scans_each"] = static_cast<double>(world.decisions() - before)
                                 / static_cast<double>(std::max<std::uint64_t>(decided, 1));
  state.counters["running"] = static_cast<double>(world.running());
  state.SetItemsProcessed(static_cast<std::int64_t>(decided));
}
BENCHMARK(decide)->Arg(10)->Arg(100)->Arg(1'000)->MinTime(2.0);

} // namespace

} // namespace consort::core

BENCHMARK_MAIN();
