// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What some of a swarm's scenarios have beside what all of them have, see swarm.hpp. Each of the
/// two draws has its own chance and changes nothing in the scenarios that go without, so that their
/// seeds keep their meaning. Pure.

#include "scenarios/sim/scenario.hpp"

#include <string>

namespace consort::sim {

/// Of clients: conversations, common beginnings, closed loops. And a model over two chips.
/// Requires: `made` has its nodes, models and workloads, and no faults yet.
void draw_habits(scenario& made, random_source& chance);

/// Of a cluster and its days: bursts, waves and other arrivals than Poisson's, several chips as one
/// device, power caps and sleep, plans over two devices of a node, what REMOTE may be used for,
/// tokens that come in bundles, values that cross the network unencoded.
/// Requires: as above.
void draw_ways(scenario& made, random_source& chance);

/// In words, the most telling of what both drew: empty, or with a comma in front.
[[nodiscard]] std::string described_habits(const scenario& plan);

} // namespace consort::sim
