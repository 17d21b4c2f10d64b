// SPDX-License-Identifier: Apache-2.0
#include "scheduler/resting_weights.hpp"

#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>

namespace consort::core {

bool rests(const artifact_entry& entry) {
  return entry.refused && entry.retry_at != 0 && entry.copies.empty();
}

index resting_weights(const core_state& s, const artifact_entry& entry) {
  if (entry.key.kind != artifact_kind::engine_weights)
    return none;
  const auto known = s.artifact_keys.find({entry.key.kind, entry.key.binds, weights_profile()});
  return known != s.artifact_keys.end() && rests(s.artifacts[known->second]) ? known->second : none;
}

std::string resting_words(const core_state& s, const artifact_entry& entry) {
  const auto model = entry.model == none ? "MODEL" : s.models[entry.model].spec.name.value;
  return std::string(is_weights(entry.key.profile) ? "; fetched" : "; built") + " again in "
         + format_duration(std::max<duration_us>(entry.retry_at - s.now, 1))
         + ", or at once after `consort compile " + model
         + " --for auto` or when the model is declared again";
}

} // namespace consort::core
