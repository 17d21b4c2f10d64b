// SPDX-License-Identifier: Apache-2.0
// The hold model of `sim_bench heap` on SimGrid; an event schedules the next of its own, an
// exponential span later:
//   simgrid_hold timers COUNT  callbacks in its kernel's heap: engine against engine
//   simgrid_hold actors COUNT  actors that sleep, as its users write simulations
#include <simgrid/kernel/Timer.hpp>
#include <simgrid/s4u.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace {

namespace sg4 = simgrid::s4u;

std::uint64_t left = 0;
std::uint64_t state = 1;

/// splitmix64, so that drawing costs what it costs on the other side.
double exponential() {
  state += 0x9e3779b97f4a7c15ULL;
  auto bits = (state ^ (state >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ (bits >> 27U)) * 0x94d049bb133111ebULL;
  bits ^= bits >> 31U;
  return -std::log1p(-static_cast<double>(bits >> 11U) * 0x1p-53);
}

/// An actor's span of virtual time: no thread waits.
constexpr void (*hold)(double) = sg4::this_actor::sleep_for;

void tick() {
  if (left == 0)
    return;
  --left;
  simgrid::kernel::timer::Timer::set(sg4::Engine::get_clock() + exponential(), tick);
}

void add_timers(std::size_t count, sg4::Host* host) {
  for (std::size_t at = 0; at < count; ++at)
    simgrid::kernel::timer::Timer::set(exponential(), tick);
  // Its engine runs as long as an actor lives.
  sg4::Actor::create("keeper", host, [] {
    while (left > 0)
      hold(1);
  });
}

void add_actors(std::size_t count, sg4::Host* host) {
  for (std::size_t at = 0; at < count; ++at)
    sg4::Actor::create("holder", host, [] {
      while (left > 0) {
        --left;
        hold(exponential());
      }
    });
}

} // namespace

/// One size per process: SimGrid's engine is a singleton.
int main(int count, char** words) {
  sg4::Engine engine(&count, words); // Takes its own flags away.
  const std::string kind = count > 1 ? words[1] : "";
  if (count != 3 || (kind != "timers" && kind != "actors")) {
    std::fprintf(stderr, "usage: simgrid_hold timers|actors COUNT\n");
    return 2;
  }
  const std::size_t pending = std::stoul(words[2]);
  auto* zone = sg4::create_full_zone("world");
  auto* host = zone->create_host("host", 1e9);
  zone->seal();
  left = std::max<std::uint64_t>(1'000'000, pending);
  const auto events = left;
  (kind == "timers" ? add_timers : add_actors)(pending, host);
  const auto start = std::chrono::steady_clock::now();
  engine.run();
  const double wall_s
      = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%8zu %10.2f\n", pending, static_cast<double>(events) / wall_s / 1e6);
  return 0;
}
