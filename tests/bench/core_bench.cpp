// SPDX-License-Identifier: Apache-2.0
// Decisions per second of the core alone: one iteration is a request's whole life (submitted,
// ticket, started, finished) on a cluster with an attempt running on every device, so that scores
// differ and a pick has something to choose. Percentiles and `decisions_per_s` are of the step that
// submits and decides: the request is taken in, picked for, given its ticket or a place in the
// queue, and what was weighed is recorded. Starting, ending and learning from it are not in them.
// `cpu` percentiles are of the time that the step ran, the others of the time that passed: on a
// machine that others use too a p99 by the clock is theirs.
#include "tests/bench/core_world.hpp"

#include <benchmark/benchmark.h>

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <deque>

namespace consort::core {

namespace {

constexpr std::uint32_t sequences = 8;

/// Latencies in buckets a sixteenth of a power of two wide.
class percentiles {
public:
  void add(std::uint64_t ns) {
    const auto width = static_cast<unsigned>(std::bit_width(ns | 16U));
    ++counts_[width * 16 + (ns >> (width - 5) & 15U)];
    ++total_;
    all_ns_ += ns;
  }
  [[nodiscard]] double per_second() const {
    return 1e9 * static_cast<double>(total_)
           / static_cast<double>(std::max<std::uint64_t>(all_ns_, 1));
  }
  [[nodiscard]] double us(double quantile) const {
    auto left = static_cast<std::uint64_t>(static_cast<double>(total_) * quantile);
    for (std::size_t at = 0; at < counts_.size(); ++at) {
      if (left < counts_[at])
        return static_cast<double>((16 + at % 16) << (at / 16)) / 32 / 1e3;
      left -= counts_[at];
    }
    return 0;
  }

private:
  std::array<std::uint64_t, 65 * 16> counts_{};
  std::uint64_t total_ = 0, all_ns_ = 0;
};

/// Of this thread, while it ran.
std::uint64_t cpu_ns() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<std::uint64_t>(spent.tv_sec) * 1'000'000'000
         + static_cast<std::uint64_t>(spent.tv_nsec);
}

/// Until as many requests are remembered as ever are: from then on nothing grows.
void fill_ring(core_world& world) {
  for (std::size_t each = 0; each < limits::explain_requests_max; ++each) {
    world.submit();
    world.finish_one();
  }
}

void play(benchmark::State& state, core_world& world, bool filled = false) {
  for (std::uint64_t each = 0; each < world.devices(); ++each)
    world.submit();
  if (filled)
    fill_ring(world);
  percentiles seen, ran;
  const auto before = world.decisions();
  std::uint64_t decided = 0;
  for (auto step : state) {
    (void)step;
    const auto ran_before = cpu_ns();
    const auto began = std::chrono::steady_clock::now();
    world.submit();
    seen.add(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count()));
    ran.add(cpu_ns() - ran_before);
    world.finish_one();
    if (++decided % 500'000 == 0)
      world.keep_alive();
  }
  state.counters["scans_each"] = static_cast<double>(world.decisions() - before)
                                 / static_cast<double>(std::max<std::uint64_t>(decided, 1));
  state.counters["running"] = static_cast<double>(world.running());
  state.counters["decisions_per_s"] = seen.per_second();
  state.counters["p50_us"] = seen.us(0.5);
  state.counters["p99_us"] = seen.us(0.99);
  state.counters["p999_us"] = seen.us(0.999);
  state.counters["decisions_per_cpu_s"] = ran.per_second();
  state.counters["p50_cpu_us"] = ran.us(0.5);
  state.counters["p99_cpu_us"] = ran.us(0.99);
  state.SetItemsProcessed(static_cast<std::int64_t>(decided));
}

/// By devices, once nothing grows.
void decide(benchmark::State& state) {
  world_shape shape;
  shape.devices = static_cast<std::uint64_t>(state.range(0));
  core_world world(shape);
  play(state, world, true);
}
BENCHMARK(decide)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Iterations(100'000);

/// The first 100,000, whose memory the system has to find. Alone, or an earlier benchmark's is
/// used.
void decide_first(benchmark::State& state) {
  world_shape shape;
  shape.devices = static_cast<std::uint64_t>(state.range(0));
  core_world world(shape);
  play(state, world);
}
BENCHMARK(decide_first)->Arg(1'000)->Iterations(limits::explain_requests_max);

/// A cluster comes together after a scheduler's restart: each device with the replica that it has.
void takeover(benchmark::State& state) {
  world_shape shape;
  shape.devices = static_cast<std::uint64_t>(state.range(0));
  for (auto step : state) {
    (void)step;
    const core_world world(shape);
    benchmark::DoNotOptimize(world.devices());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(shape.devices));
}
BENCHMARK(takeover)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Iterations(1)->Unit(
    benchmark::kMillisecond);

/// Some devices of many have the model; with what all of it takes in memory.
void replicas(benchmark::State& state) {
  world_shape shape;
  shape.devices = static_cast<std::uint64_t>(state.range(0));
  shape.replicas = static_cast<std::uint64_t>(state.range(1));
  const auto before = mallinfo2().uordblks + mallinfo2().hblkhd;
  core_world world(shape);
  for (std::uint64_t each = 0; each < shape.replicas; ++each)
    world.submit();
  fill_ring(world);
  percentiles seen;
  for (auto step : state) {
    (void)step;
    const auto began = std::chrono::steady_clock::now();
    world.submit();
    seen.add(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count()));
    world.finish_one();
  }
  const auto used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
  state.counters["MB"] = static_cast<double>(used) / 1e6;
  state.counters["decisions_per_s"] = seen.per_second();
  state.counters["p50_us"] = seen.us(0.5);
  state.counters["p99_us"] = seen.us(0.99);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(replicas)->Args({10'000, 1'000})->Iterations(100'000);

/// Nobody runs on devices that are all alike: every score is the least.
void idle(benchmark::State& state) {
  world_shape shape;
  shape.devices = static_cast<std::uint64_t>(state.range(0));
  shape.kinds = 1;
  core_world world(shape);
  percentiles seen;
  for (auto step : state) {
    (void)step;
    const auto began = std::chrono::steady_clock::now();
    world.submit();
    seen.add(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count()));
    world.finish_one();
  }
  state.counters["p50_us"] = seen.us(0.5);
  state.counters["p99_us"] = seen.us(0.99);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(idle)->Arg(100)->Arg(1'000)->Arg(10'000)->Iterations(20'000);

/// By policy, on 1,000 unlike devices, in the order of docs/POLICIES.md.
void policies(benchmark::State& state) {
  world_shape shape;
  shape.policy = policy_words()[static_cast<std::size_t>(state.range(0))];
  state.SetLabel(shape.policy);
  core_world world(shape);
  play(state, world, true);
}
BENCHMARK(policies)->DenseRange(0, 9)->Iterations(100'000);

/// What explaining costs of a decision: two worlds that decide alike, one of which keeps nothing
/// to explain, take turns of some hundred lives, so that both meet the same machine.
void explaining(benchmark::State& state) {
  constexpr int turn = 500;
  world_shape shape;
  shape.policy = policy_words()[static_cast<std::size_t>(state.range(0))];
  state.SetLabel(shape.policy);
  core_world with(shape);
  shape.explains = false;
  core_world without(shape);
  for (auto* world : {&with, &without}) {
    for (std::uint64_t each = 0; each < world->devices(); ++each)
      world->submit();
    fill_ring(*world);
  }
  std::array<std::vector<std::int64_t>, 2> turns;
  for (auto step : state) {
    (void)step;
    std::size_t at = 0;
    for (auto* world : {&with, &without}) {
      std::int64_t spent = 0;
      for (int each = 0; each < turn; ++each) {
        const auto began = std::chrono::steady_clock::now();
        world->submit();
        spent += (std::chrono::steady_clock::now() - began).count();
        world->finish_one();
      }
      turns[at++].push_back(spent / turn);
    }
  }
  for (auto& one : turns)
    std::sort(one.begin(), one.end());
  const auto middle = turns[0].size() / 2;
  const auto all = static_cast<double>(turns[0][middle]);
  const auto rest = static_cast<double>(turns[1][middle]);
  state.counters["decision_us"] = all / 1e3;
  state.counters["share"] = 1 - rest / all;
}
BENCHMARK(explaining)->Arg(0)->Arg(4)->Arg(7)->Iterations(400);

/// By blocks of a prompt, half of them known.
void prompts(benchmark::State& state) {
  world_shape shape;
  shape.prefix_blocks = static_cast<std::uint64_t>(state.range(0));
  core_world world(shape);
  play(state, world);
}
BENCHMARK(prompts)->Arg(0)->Arg(16)->Arg(128)->Arg(1'024)->MinTime(0.5);

/// By requests that wait: each end of an attempt starts one of them.
void waiting(benchmark::State& state) {
  world_shape shape;
  shape.devices = 100;
  shape.queue_max = 2'000'000;
  core_world world(shape);
  while (world.submit())
    ;
  for (std::int64_t each = 1; each < state.range(0); ++each)
    world.submit();
  percentiles seen;
  for (auto step : state) {
    (void)step;
    world.submit();
    const auto began = std::chrono::steady_clock::now();
    world.finish_one();
    seen.add(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count()));
  }
  state.counters["p50_us"] = seen.us(0.5);
  state.counters["p99_us"] = seen.us(0.99);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(waiting)->Arg(1)->Arg(1'000)->Arg(100'000)->Arg(999'000)->Iterations(100'000);

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
    ->Args({80'000, 0}) // As many as the most nodes have.
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
