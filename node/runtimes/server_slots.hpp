// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Of a server that divides one KV cache among slots of equal size, as llama.cpp's does: how many
/// slots, and how large a cache, so that each has the whole context of its model. Pure.

#include "node/runtime.hpp"

namespace consort::node {

/// A slot runs one sequence.
struct server_slots {
  std::uint32_t count = 1;
  std::uint64_t context_tokens = 0; ///< Of all together; 0 = unknown: the model's own, for one.
};

/// As many as `sequences`, or as what the instance was granted of its devices' memory holds beside
/// the weights; at least one. Of memory that nobody knows as much is taken as the weights take.
/// Where the model's context is unknown there is one slot, which then has it whole.
[[nodiscard]] server_slots slots_for(const session_request& wanted, std::uint32_t sequences);

} // namespace consort::node
