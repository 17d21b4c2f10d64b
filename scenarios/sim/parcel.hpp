// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What processes of a run say to each other where nothing is encoded: the values that the codec
/// would carry. Which of them it is says where it may go.

#include "messages/codec.hpp"
#include "scheduler/command.hpp"
#include "scheduler/event.hpp"

#include <cstdint>
#include <variant>
#include <vector>

namespace consort::sim {

/// What of a prompt its client and the engine know, and the scheduler only in part.
struct client_prompt {
  std::vector<std::uint64_t> prefix; ///< Chained hashes of full blocks.
  std::uint32_t prefix_tokens = 0;   ///< Of each.
};

/// An attempt as a gateway opens it; what stands in the body's text on a real wire stands beside.
struct plain_open {
  messages::attempt_open wanted;
  client_prompt prompt;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
};

using parcel = std::variant<core::event, core::command, plain_open, attempt_event>;

} // namespace consort::sim
