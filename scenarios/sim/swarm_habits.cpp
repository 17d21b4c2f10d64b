// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/swarm_habits.hpp"

#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace consort::sim {

namespace {

constexpr double second_us = static_cast<double>(limits::second_us);

bool drawn(random_source& chance, double share) {
  return chance.unit() < share;
}

/// In [0, bound).
std::uint32_t whole(random_source& chance, std::uint32_t bound) {
  return static_cast<std::uint32_t>(chance.unit() * bound);
}

template <class Value, std::size_t Count>
Value one_of(random_source& chance, const std::array<Value, Count>& values) {
  return values[whole(chance, Count)];
}

// --- habits ---

void draw_client(synthetic_settings& made, random_source& chance) {
  made.think_s = {distribution::kind::exponential, 0.1 + chance.unit(), 0};
  if (drawn(chance, 0.5))
    made.turns = 2 + whole(chance, 5);
  if (drawn(chance, 0.5)) {
    made.prefix_groups = 1 + whole(chance, 5);
    made.prefix_tokens = made.block_tokens * (1 + whole(chance, 12));
    made.prefix_prompts = drawn(chance, 0.3) ? 3 : 0;
    made.prefix_skew = drawn(chance, 0.5) ? 1 : 0;
  }
  if (drawn(chance, 0.3)) {
    made.process = arrival_process::closed;
    made.clients = 1 + whole(chance, 30);
  }
}

/// A model over two chips, where two of one kind are there.
void draw_instances(scenario& made, random_source& chance) {
  std::map<std::string, int> chips;
  for (const auto& node : made.nodes)
    for (const auto& device : node.devices)
      if (device->fidelity != fidelity_kind::rates && ++chips[device->name] == 2
          && drawn(chance, 0.6))
        made.models.front().devices_per_instance = 2;
}

// --- ways ---

void draw_process(scenario_workload& work, random_source& chance) {
  auto& made = work.drawn;
  if (drawn(chance, 0.3))
    work.from = static_cast<time_us>(0.5 * chance.unit() * static_cast<double>(work.until));
  if (made.process != arrival_process::poisson)
    return;
  made.process = one_of(chance, std::array{arrival_process::poisson, arrival_process::gamma,
                                           arrival_process::bursts, arrival_process::diurnal,
                                           arrival_process::stages});
  made.cv = one_of(chance, std::array{0.2, 3.0});
  made.peak_rate = work.rate_per_s * 6;
  made.on_us = static_cast<duration_us>((0.05 + chance.unit()) * second_us);
  made.off_us = 4 * made.on_us;
  made.depth = chance.unit();
  made.period_us = static_cast<duration_us>((1 + 20 * chance.unit()) * second_us);
  if (made.process == arrival_process::stages)
    made.stages = {{work.rate_per_s, made.period_us},
                   {made.peak_rate, made.on_us},
                   {work.rate_per_s / 4, made.period_us}};
}

/// As device_of_chips() makes it of several, but for what was drawn of one.
void join_chips(device_model& made, random_source& chance) {
  const chip_group group{one_of(chance, std::array<std::uint32_t, 3>{1, 2, 4}),
                         one_of(chance, std::array<std::uint32_t, 2>{1, 2})};
  const auto joined = device_of_chips(made.chip, group);
  made.name = joined.name;
  made.group = joined.group;
  made.memory_bytes = joined.memory_bytes;
  made.tdp_mw = joined.tdp_mw;
  made.idle_mw = joined.idle_mw;
  made.cost_micros_per_hour = joined.cost_micros_per_hour;
}

/// Its build profile stays: what is compiled for one chip runs on several of it.
device_model_ptr drawn_anew(const device_model& from, random_source& chance) {
  auto made = from;
  if (made.fidelity == fidelity_kind::roofline && drawn(chance, 0.3))
    join_chips(made, chance);
  if (made.tdp_mw > made.idle_mw + 1'000 && drawn(chance, 0.3))
    made.cap_mw = made.idle_mw + 1
                  + static_cast<std::uint64_t>(chance.unit()
                                               * static_cast<double>(made.tdp_mw - made.idle_mw));
  if (drawn(chance, 0.3)) {
    made.sleep_mw = made.idle_mw / 4;
    made.sleep_after_us = static_cast<duration_us>((0.2 + 3 * chance.unit()) * second_us);
    made.wake_us = one_of(chance, std::array<std::int64_t, 3>{10'000, 500'000, 4'000'000});
  }
  return std::make_shared<const device_model>(std::move(made));
}

/// Over two of a node's devices, which go on to serve by themselves.
void add_plan(scenario_node& node, random_source& chance) {
  const auto count = static_cast<std::uint32_t>(node.devices.size());
  const auto ids = device_ids(node);
  const auto first = whole(chance, count);
  const auto other = (first + 1 + whole(chance, count - 1)) % count;
  const auto word = [&](std::uint32_t at) { return ids[at].substr(node.name.size() + 1); };
  auto plan = plan_of_stages({word(first), word(other), one_of(chance, std::array{40.0, 0.1}),
                              one_of(chance, std::array<std::int64_t, 2>{0, 80'000})});
  plan.max_sequences = one_of(chance, std::array<std::uint32_t, 2>{1'024, 2});
  node.devices.push_back(std::make_shared<const device_model>(std::move(plan)));
}

void draw_devices(scenario_node& node, random_source& chance) {
  for (auto& device : node.devices)
    device = drawn_anew(*device, chance);
  if (node.devices.size() > 1 && drawn(chance, 0.4))
    add_plan(node, chance);
}

// --- in words ---

std::string described_client(const synthetic_settings& made) {
  std::string words;
  if (made.turns > 1)
    words += ", conversations of " + std::to_string(made.turns) + " turns";
  if (made.prefix_groups > 0)
    words += ", " + std::to_string(made.prefix_groups) + " common beginnings of "
             + std::to_string(made.prefix_tokens) + " tokens";
  switch (made.process) {
  case arrival_process::poisson: break;
  case arrival_process::gamma: words += ", uneven arrivals"; break;
  case arrival_process::bursts: words += ", bursts"; break;
  case arrival_process::diurnal: words += ", waves"; break;
  case arrival_process::stages: words += ", stages"; break;
  case arrival_process::closed: words += ", a loop of " + std::to_string(made.clients) + " clients";
  }
  return words;
}

} // namespace

void draw_habits(scenario& made, random_source& chance) {
  for (auto& work : made.workloads)
    draw_client(work.drawn, chance);
  draw_instances(made, chance);
}

void draw_ways(scenario& made, random_source& chance) {
  for (auto& work : made.workloads)
    draw_process(work, chance);
  for (auto& node : made.nodes)
    draw_devices(node, chance);
  made.remote = one_of(chance, std::array{core::remote_use::free, core::remote_use::overflow,
                                          core::remote_use::never});
  made.remote_budget_micros_per_hour
      = one_of(chance, std::array<std::uint64_t, 3>{0, 50'000, 10'000'000});
  made.gathers_tokens = drawn(chance, 0.3);
  made.network.plain = drawn(chance, 0.3);
}

std::string described_habits(const scenario& plan) {
  constexpr std::array remote_words{"", ", REMOTE for overflow only", ", REMOTE never"};
  std::string made
      = plan.models.front().devices_per_instance > 1 ? ", the first over two devices" : "";
  for (const auto& work : plan.workloads)
    made += described_client(work.drawn);
  made += remote_words[static_cast<std::size_t>(plan.remote)];
  made += plan.gathers_tokens ? ", tokens gathered" : "";
  return made + (plan.network.plain ? ", unencoded" : "");
}

} // namespace consort::sim
