// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is known of an artifact beside its digest: when this node hashed it last, and what became
/// of the last load. `validation.json` beside the payload; for people, and lost without harm.

#include "scheduler/ids.hpp"

#include <string>

namespace consort::node {

struct artifact_validation {
  std::int64_t hashed_s = 0; ///< Unix time at which the content was hashed last; 0 = never here.
  std::int64_t loaded_s = 0; ///< Of the last load that went well; 0 = none.
  std::string loaded_on;     ///< Device of that load.
  duration_us load_us = 0;   ///< How long it took.
  std::int64_t failed_s = 0; ///< Of the last load that failed; 0 = none.
  std::string failure;       ///< Why, in the runtime's words.
};

/// Of the artifact in a folder; all unknown where nothing sensible is written.
[[nodiscard]] artifact_validation read_validation(const std::string& folder);
void write_validation(const std::string& folder, const artifact_validation& known);

} // namespace consort::node
