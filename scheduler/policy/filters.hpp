// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The filters in the order in which they are asked; the first that refuses is the one that people
/// are told. Static ones (what a device is) come before dynamic ones (how it does now).

#include "scheduler/policy/facts.hpp"

#include <array>

namespace consort::core {

enum class filter_id : std::uint8_t {
  selector,
  format,
  adapters,
  ranks,
  artifact,
  loads,
  embeddings,
  answers,
  memory,
  remote,
  excluded,
  alive,
  draining,
  health,
  breaker,
  stages,
  resume,
  sequences,
  kv,
  local,
  steady,
  measured,
  passed, ///< By all.
};

struct filter {
  filter_id id = filter_id::passed;
  const char* name = "";
  bool optional = false; ///< Asked only by profiles that name it.
  bool (*keeps)(const candidate_facts&) = nullptr;
  std::string (*reason)(const candidate_facts&) = nullptr;
};

/// All filters, indexed by filter_id.
[[nodiscard]] const std::array<filter, static_cast<std::size_t>(filter_id::passed)>& all_filters();

[[nodiscard]] constexpr std::uint32_t bit_of(filter_id id) {
  return std::uint32_t{1} << static_cast<unsigned>(id);
}
/// Those that every profile asks: all before `local`.
inline constexpr std::uint32_t required_filters = bit_of(filter_id::local) - 1;

/// Returns: the first filter of the set that refuses the candidate, or filter_id::passed.
[[nodiscard]] filter_id first_refusal(const candidate_facts& one,
                                      std::uint32_t set = required_filters);

/// Empty for none.
[[nodiscard]] const char* word(filter_id id);

} // namespace consort::core
