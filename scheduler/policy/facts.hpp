// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What filters and scorers look at: one candidate (a device, with or without a loaded instance)
/// for one request, as plain integers. Built fresh from the state; owned by nobody.

#include "scheduler/models.hpp"

#include <string_view>

namespace consort::core {

struct candidate_facts {
  // --- the device ---
  bool selected = true;   ///< The request's selector matches it.
  bool excluded = false;  ///< An earlier attempt of this request failed there.
  bool node_alive = true; ///< Lease held, link up, device advertised by this life.
  bool draining = false;  ///< The device or its node, or the instance is being unloaded.
  bool cordoned = false;  ///< The device or its node.
  device_health health = device_health::healthy;
  std::string_view health_reason;      ///< Outlives this; empty = nobody said.
  bool breaker_admits = true;          ///< For this model.
  std::uint64_t memory_bytes = 0;      ///< Of the device; 0 = unknown.
  std::uint64_t memory_need_bytes = 0; ///< Of the model, this device's share.

  // --- the model on the device ---
  bool format_known = true;        ///< Runs a format of the model, or artifacts built for it.
  std::string unread;              ///< When not so because of what compilers read: both, in words.
  bool artifact_obtainable = true; ///< Needs none, or it exists, or some node may build it.
  std::string way_back;            ///< When not so: how an older engine would serve; empty = none.
  std::uint32_t ranks_need = 1;    ///< Devices of one instance of the model.
  std::uint32_t ranks_max = 1;     ///< Devices that one instance may span here.
  bool adapters_run = true;        ///< What runs it there loads its LoRA adapters, all of them.
  std::size_t adapters_need = 0;   ///< Of the model.
  std::uint32_t adapters_max = 0;  ///< Of one instance here; 0 = not said.
  bool embeddings_needed = false;
  bool embeddings = false;
  std::uint32_t unanswered = 0; ///< What the request asks for and its runtime refuses: asks.hpp.
  bool remote = false;          ///< Somebody else's machine.
  bool stays = false;           ///< The request must not go to one now.
  bool never_remote = false;    ///< Nor ever.
  bool remote_spent = false;    ///< Nor now: their budget is used up.
  std::uint32_t samples = 0;    ///< Attempts that its speed was learned from.

  std::string stage_lacks; ///< Why one of its stages cannot work, in words; empty = both can.

  // --- the endpoint; meaningful when loaded ---
  bool loaded = false;
  std::uint32_t sequences_used = 0;
  std::uint32_t sequences_max = 0; ///< Backlog included.
  std::uint32_t sequences_need = 1;
  bool full = false; ///< It said that it has no room now.
  std::uint64_t kv_free_tokens = 0;
  std::uint64_t kv_all_tokens = 0;   ///< 0 = unknown.
  std::uint64_t kv_least_tokens = 0; ///< Of the prompt alone.
  std::uint64_t kv_need_tokens = 0;
  std::uint64_t context_all_tokens = 0;   ///< Of one request; 0 = unknown, or enough.
  std::uint64_t context_least_tokens = 0; ///< Of prompt and answer.
  bool context_of_prompt = false; ///< Both are of its prompt alone, which has a bound of its own.
  bool resume_needed = false;
  resume_support resume = resume_support::tokens;

  // --- whom it is about, for words; both null, or both outlive this ---
  const model_spec* spec = nullptr;
  const device_spec* device = nullptr;
  bool load_barred = false;       ///< It refused for good to load all that it could run of it.
  std::string_view load_refused;  ///< Why; empty = it did not say, or the bar has ended since.
  std::string_view breaker_error; ///< What it counted last; outlives this, empty = unknown.
  std::string_view full_error;    ///< What it said when it was full, likewise.
};

} // namespace consort::core
