// SPDX-License-Identifier: Apache-2.0
// Decisions per second of the core alone: one iteration is a request's whole life (submitted,
// ticket, started, finished) on a cluster whose devices all serve one model, with an attempt
// running on every device, so that scores differ and the scan has something to choose.
#include "scheduler/core.hpp"
#include "scheduler/prng.hpp"

#include <benchmark/benchmark.h>

#include <malloc.h>

#include <algorithm>
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
    while (answer_loads() || loaded_ < devices)
      if (pending_.empty())
        wait();
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
    if (running_.empty())
      return feed(tick{}); // Everything waits; the counter `running` tells.
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

  /// Until the core wants to look again: on a large cluster that has a pace.
  void wait() {
    now_ = std::max(now_, core_.next_deadline().value_or(now_));
    for (const auto& node : nodes_) {
      feed(lease_renewed{node, incarnation{1}});
      owed();
    }
    out_.clear();
  }

  bool answer_loads() {
    owed();
    auto commands = std::move(pending_);
    pending_.clear();
    for (const auto& one : commands) {
      if (const auto* asked = std::get_if<reserve_allocation>(&one)) {
        feed(allocation_reserved{asked->grant.id, asked->node, incarnation{1}, asked->grant.fence});
      } else if (const auto* load = std::get_if<load_replica>(&one)) {
        feed(replica_loaded{load->instance, incarnation{1}, {}, {}, 1'000});
        ++loaded_;
      } else {
        continue;
      }
      owed();
      out_.clear();
    }
    return !pending_.empty();
  }

  core core_;
  prng chance_{42};
  time_us now_ = 0;
  std::uint64_t sequence_ = 0, loaded_ = 0;
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

/// A device that is simulated in every respect, as an agent describes it.
device_spec described(const node_id& node, std::uint64_t number) {
  device_spec spec;
  spec.id = device_id{node.value + "/npu" + std::to_string(number)};
  spec.node = node;
  spec.type = resource_type::npu;
  spec.vendor = "reference";
  spec.model = "refnpu-1";
  spec.plugin = "refnpu";
  spec.uuid = "refnpu-00000000-0000-0000-0000-0000000000" + std::to_string(10 + number);
  spec.memory_bytes = std::uint64_t{1} << 30U;
  spec.capability.max_sequences = sequences;
  spec.capability.formats = {"gguf"};
  spec.attributes = {{"driver", "1.0"}, {"firmware", "1.0.3"}, {"numa", "0"}};
  spec.spec.decode_tokens_per_s = 1'000;
  return spec;
}

/// Agents of eight devices each, with a model loaded on every device or not.
class fleet {
public:
  explicit fleet(std::uint64_t devices, bool loaded) : core_(core_config{}) {
    model_spec model;
    model.name = model_name{"storyteller"};
    model.variants.emplace_back().format = "gguf";
    model.variants.back().content = digest{std::string(64, 'a')};
    model.variants.back().weight_bytes = 10 << 20U;
    model.replicas_min = loaded ? static_cast<std::uint32_t>(devices) : 0;
    feed(model_declared{model});
    for (std::uint64_t each = 0; each < devices; ++each) {
      const node_id node{"agent-" + std::to_string(each / 8)};
      if (each % 8 == 0)
        feed(node_joined{node, incarnation{1}, "10.0.0.1:4281", {}, {}});
      ids_.push_back(described(node, each % 8).id);
      feed(device_advertised{described(node, each % 8), incarnation{1}});
    }
    // Virtual time goes on until every load was answered.
    for (int idle = 0; loaded && idle < 4;) {
      now_ += 25'000;
      if (now_ > renewed_at_ + 1'000'000)
        renew();
      const auto before = instances_.size();
      feed(tick{});
      answer();
      idle = instances_.size() == before ? idle + 1 : 0;
      if (instances_.size() == devices)
        break;
    }
  }
  /// Ten thousand a second: as fast as virtual time goes.
  void report() {
    const auto at = next_++ % ids_.size();
    device_reported said;
    said.device = ids_[at];
    said.life = incarnation{1};
    said.reading.utilization_pm = static_cast<std::uint32_t>(next_ % 1'000);
    if (at < instances_.size()) {
      capacity_vector capacity;
      capacity.sequences.value = sequences;
      said.endpoints.emplace_back(instances_[at], capacity);
    }
    feed(said);
    if (at % 8 == 0)
      feed(lease_renewed{node_id{ids_[at].value.substr(0, ids_[at].value.find('/'))},
                         incarnation{1}});
  }
  [[nodiscard]] std::size_t loaded() const { return instances_.size(); }
  [[nodiscard]] std::size_t page(const view_cursor& from) const {
    return core_.view_page(from, 768 << 10U, now_).rows.devices.size();
  }

private:
  void feed(const event& happened) {
    now_ += 100;
    std::vector<command> out;
    core_.step(happened, now_, out);
    pending_.insert(pending_.end(), out.begin(), out.end());
  }
  void renew() {
    renewed_at_ = now_;
    for (std::size_t each = 0; each < ids_.size(); each += 8)
      feed(lease_renewed{node_id{ids_[each].value.substr(0, ids_[each].value.find('/'))},
                         incarnation{1}});
  }
  void answer() {
    while (!pending_.empty()) {
      const auto one = pending_.front();
      pending_.pop_front();
      if (const auto* asked = std::get_if<reserve_allocation>(&one))
        feed(allocation_reserved{asked->grant.id, asked->node, incarnation{1}, asked->grant.fence});
      if (const auto* load = std::get_if<load_replica>(&one)) {
        feed(replica_loaded{load->instance, incarnation{1}, {}, {}, 1'000});
        instances_.push_back(load->instance);
      }
    }
  }

  core core_;
  time_us now_ = 0, renewed_at_ = 0;
  std::uint64_t next_ = 0;
  std::vector<device_id> ids_;
  std::vector<instance_id> instances_;
  std::deque<command> pending_;
};

/// Time for all to join, and what a device costs in memory.
void join(benchmark::State& state) {
  const auto devices = static_cast<std::uint64_t>(state.range(0));
  for (auto step : state) {
    (void)step;
    const auto before = mallinfo2().uordblks + mallinfo2().hblkhd;
    const fleet world(devices, state.range(1) != 0);
    const auto used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    state.counters["bytes_per_device"] = static_cast<double>(used) / static_cast<double>(devices);
    state.counters["loaded"] = static_cast<double>(world.loaded());
  }
}
BENCHMARK(join)
    ->Args({1'000, 0})
    ->Args({8'000, 0})
    ->Args({1'000, 1})
    ->Args({8'000, 1})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void report(benchmark::State& state) {
  fleet world(static_cast<std::uint64_t>(state.range(0)), true);
  for (auto step : state) {
    (void)step;
    world.report();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(report)->Arg(1'000)->Arg(8'000);

void page(benchmark::State& state) {
  const fleet world(static_cast<std::uint64_t>(state.range(0)), false);
  for (auto step : state) {
    (void)step;
    benchmark::DoNotOptimize(world.page({view_part::devices, "agent-500/npu0", 0}));
  }
}
BENCHMARK(page)->Arg(8'000)->Unit(benchmark::kMicrosecond);

} // namespace

} // namespace consort::core

BENCHMARK_MAIN();
