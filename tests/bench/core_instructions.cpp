// SPDX-License-Identifier: Apache-2.0
// Plays a fixed number of request lives through the core, for tests/bench/instructions.sh to count
// instructions of: two runs that differ only in that number differ by the lives alone. Prints the
// digest of what came of it, so that two builds can be told to decide alike. No lives: the cluster
// comes together, with a replica on each device, and nobody asks for anything.
// Usage: core_instructions DEVICES LIVES [POLICY [PREFIX_BLOCKS [KINDS]]]
#include "tests/bench/core_world.hpp"

#include <cstdlib>
#include <iostream>

int main(int count, char** words) {
  if (count < 3) {
    std::cerr << "usage: core_instructions DEVICES LIVES [POLICY [PREFIX_BLOCKS [KINDS]]]\n";
    return 2;
  }
  consort::core::world_shape shape;
  shape.devices = std::strtoull(words[1], nullptr, 10);
  if (count > 3)
    shape.policy = words[3];
  if (count > 4)
    shape.prefix_blocks = std::strtoull(words[4], nullptr, 10);
  if (count > 5)
    shape.kinds = std::strtoull(words[5], nullptr, 10);
  consort::core::core_world world(shape);
  const auto lives = std::strtoull(words[2], nullptr, 10);
  for (std::uint64_t each = 0; lives > 0 && each < shape.devices; ++each)
    world.submit();
  for (auto left = lives; left > 0; --left) {
    world.submit();
    world.finish_one();
  }
  std::cout << world.decisions() << " decisions, digest " << std::hex << world.state_digest()
            << '\n';
  return 0;
}
