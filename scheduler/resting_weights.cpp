// SPDX-License-Identifier: Apache-2.0
#include "scheduler/resting_weights.hpp"

#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>

namespace consort::core {

bool rests(const artifact_entry& entry) {
  return entry.refused && entry.retry_at != 0 && entry.copies.empty();
}

index missing_weights(const core_state& s, const artifact_entry& entry) {
  if (entry.key.kind != artifact_kind::engine_weights)
    return none;
  const auto known = s.artifact_keys.find({entry.key.kind, entry.key.binds, weights_profile()});
  return known != s.artifact_keys.end() && s.artifacts[known->second].copies.empty() ? known->second
                                                                                     : none;
}

index refused_weights(const core_state& s, const artifact_entry& entry) {
  const auto weights = missing_weights(s, entry);
  return weights != none && s.artifacts[weights].refused ? weights : none;
}

std::string next_try_words(const core_state& s, const artifact_entry& entry, time_us now) {
  const auto model = entry.model == none ? "MODEL" : s.models[entry.model].spec.name.value;
  const auto left = format_duration(std::max<duration_us>(entry.retry_at - now, 1));
  if (rests(entry))
    return std::string(is_weights(entry.key.profile) ? "; fetched" : "; built") + " again in "
           + left + ", or at once after `consort compile " + model
           + " --for auto` or when the model is declared again";
  if (entry.refused)
    return " (it is not tried again by itself; once that is mended: consort compile " + model
           + " --for auto)";
  return entry.retry_at > now && obtainable(s, entry) ? "; tried again in " + left : std::string();
}

} // namespace consort::core
