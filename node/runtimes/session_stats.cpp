// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/session_stats.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace consort::node {

session_stats parse_session_stats(const std::string& json) {
  session_stats read;
  const auto counters = nlohmann::json::parse(json, nullptr, false);
  if (!counters.is_object())
    return read;
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    const auto at = counters.find(name);
    return at != counters.end() && at->is_number_unsigned()
               ? std::optional(at->get<std::uint64_t>())
               : std::nullopt;
  };
  read.capacity.sequences = {number("sequences_max"), figure_source::engine, 0};
  read.capacity.kv_tokens = {number("kv_tokens_max"), figure_source::engine, 0};
  read.sequences_running = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      number("sequences_running").value_or(0), std::numeric_limits<std::uint32_t>::max()));
  read.tokens_generated_total = number("tokens_generated_total").value_or(0);
  read.steps_total = number("steps_total").value_or(0);
  read.cancelled_total = number("cancelled_total").value_or(0);
  return read;
}

} // namespace consort::node
