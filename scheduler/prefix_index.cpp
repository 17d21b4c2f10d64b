// SPDX-License-Identifier: Apache-2.0
#include "scheduler/prefix_index.hpp"

#include <algorithm>

namespace consort::core {

void prefix_index::remember(const std::vector<std::uint64_t>& blocks, instance_id instance,
                            std::uint64_t stamp) {
  // Last block first, so that a prompt's beginning is forgotten after its end.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    auto& those = holders_of_.touch(*block);
    auto place = std::find_if(those.begin(), those.end(),
                              [&](const holder& one) { return one.instance == instance; });
    if (place == those.end())
      place = those.end() - 1;
    std::rotate(those.begin(), place, place + 1);
    those.front() = {instance, stamp};
  }
}

} // namespace consort::core
