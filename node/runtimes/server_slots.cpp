// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_slots.hpp"

#include <algorithm>

namespace consort::node {

namespace {

/// Of memory that is too little for all slots, what weights and KV cache may take, per mille: the
/// rest is for the engine's own buffers. Of memory that was granted for all of them it is not
/// taken, for then there is more beside it.
constexpr std::uint64_t scarce_memory_pm = 900;

/// Whole contexts of so many bytes that fit beside the weights.
std::uint64_t contexts_in(std::uint64_t memory, std::uint64_t weights, std::uint64_t one) {
  return (memory - std::min(memory, weights)) / one;
}

} // namespace

server_slots slots_for(const session_request& wanted, std::uint32_t sequences) {
  const auto& variant = wanted.variant;
  const std::uint64_t context
      = wanted.context_tokens > 0 ? wanted.context_tokens : variant.context_tokens;
  if (context == 0)
    return {};
  const std::uint64_t most = std::max(sequences, 1U);
  const auto memory = wanted.memory_bytes > 0 ? wanted.memory_bytes : wanted.device.memory_bytes;
  // Of this device alone: each holds its part of the weights and of every context.
  const auto degree = std::max(wanted.place.degree, 1U);
  const auto weights = variant.weight_bytes / degree;
  const auto one = context * variant.kv_bytes_per_token / degree;
  auto fitting = most; // Also where nobody knows what it takes.
  // What holds the weights is believed to hold as much again.
  if (one > 0 && memory == 0 && weights > 0)
    fitting = weights / one;
  else if (one > 0 && memory > 0 && contexts_in(memory, weights, one) < most)
    fitting = contexts_in(memory / 1000 * scarce_memory_pm, weights, one);
  const auto count = std::clamp<std::uint64_t>(fitting, 1, most);
  return {static_cast<std::uint32_t>(count), count * context};
}

} // namespace consort::node
