// SPDX-License-Identifier: Apache-2.0
// The hold model of `sim_bench heap` on SimGrid: so many actors that each sleep an exponential
// span, again and again; an event is one wake-up.
//   simgrid_hold ACTORS
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
  return -std::log(1.0 - static_cast<double>(bits >> 11U) * 0x1p-53);
}

} // namespace

/// One size per process: SimGrid's engine is a singleton.
int main(int count, char** words) {
  const std::size_t actors = count > 1 ? std::stoul(words[1]) : 1'000;
  sg4::Engine engine(&count, words);
  auto* zone = sg4::create_full_zone("world");
  auto* host = zone->create_host("host", 1e9);
  zone->seal();
  left = std::max<std::uint64_t>(1'000'000, actors);
  const auto events = left;
  for (std::size_t at = 0; at < actors; ++at)
    sg4::Actor::create("holder", host, [] {
      while (left > 0) {
        --left;
        hold(exponential());
      }
    });
  const auto start = std::chrono::steady_clock::now();
  engine.run();
  const double wall_s
      = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%8zu %10.2f\n", actors, static_cast<double>(events) / wall_s / 1e6);
  return 0;
}
