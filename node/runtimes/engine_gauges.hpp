// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a model server's metrics say of its load, as its plugin names them: Prometheus text, or a
/// JSON document. Pure. The names differ by vendor and by version; what is absent is unknown.

#include "node/runtime.hpp"
#include "node/server_spec.hpp"
#include "scheduler/result.hpp"

#include <string>
#include <string_view>

namespace consort::node {

struct engine_gauges {
  std::optional<std::uint64_t> running;    ///< Sequences being decoded.
  std::optional<std::uint64_t> waiting;    ///< Requests in the engine's own queue.
  std::optional<std::uint32_t> kv_used_pm; ///< Of the KV cache, per mille.
  std::optional<std::uint64_t> kv_tokens;  ///< The whole KV cache.
  friend bool operator==(const engine_gauges&, const engine_gauges&) = default;
};

struct gauge_reading {
  engine_gauges gauges;
  /// Figures of the rule that are not there, by the names that were looked for: "`a`", or "`a` or
  /// `b`", with commas; empty = none, or nothing was told: no text, or a list that reading emptied.
  std::string absent;
};

/// Series of one name (ranks, models) are summed; of the KV cache's use the highest counts. Errors
/// (`server_metrics`): too large, or no text of that kind.
[[nodiscard]] result<gauge_reading> read_gauges(const metrics_rule& rule, std::string_view text);

/// The capacity of an engine of which `ours` attempts are ours: what others run there, and what
/// they leave of the KV cache. `age_us` since the gauges were read.
[[nodiscard]] capacity_vector capacity_by(capacity_vector declared, const engine_gauges& gauges,
                                          std::uint64_t ours, duration_us age_us);

} // namespace consort::node
