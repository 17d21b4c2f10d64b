// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The admin API's JSON: pure functions from the core's values. Field names are those of
/// scheduler/view.hpp and the vocabulary, in the same order; names are strings, incarnations and
/// gateway ids 16 hex digits, other numbers numbers, enums their words, unknown values null, and a
/// request id `<gateway hex>-<n>`. gateway/README.md shows each shape.

#include "messages/envelope.hpp"
#include "scheduler/command.hpp"
#include "scheduler/view.hpp"

#include <nlohmann/json.hpp>

namespace consort::links {
struct held_peer;
}

namespace consort::gateway {

/// Keeps the order of fields, so that output is stable.
using json = nlohmann::ordered_json;

[[nodiscard]] std::string to_string(const request_id& id);
/// Sixteen lower-case hex digits.
[[nodiscard]] std::string to_hex(std::uint64_t number);
/// The bare texts of a list of names.
template <class Name>
[[nodiscard]] json names_json(const std::vector<Name>& list) {
  auto out = json::array();
  for (const auto& name : list)
    out.push_back(name.value);
  return out;
}
/// Words of the enums, as every API and table spells them.
[[nodiscard]] std::string_view word_of(resource_type type);
[[nodiscard]] std::string_view word_of(device_health health);
[[nodiscard]] std::string_view word_of(figure_source source);
[[nodiscard]] std::string_view word_of(resume_support support);
[[nodiscard]] std::string_view word_of(artifact_kind kind);
[[nodiscard]] std::string_view word_of(older_engines rule);
[[nodiscard]] std::string_view word_of(artifact_state state);
[[nodiscard]] std::string_view word_of(request_outcome outcome);
[[nodiscard]] std::string_view word_of(core::note::severity level);

[[nodiscard]] json to_json(const build_profile& profile);
[[nodiscard]] json to_json(const runtime_capabilities& runtime);
[[nodiscard]] json to_json(const device_capability& capability);
[[nodiscard]] json to_json(const speed_spec& spec);
[[nodiscard]] json to_json(const device_spec& spec);
[[nodiscard]] json to_json(const engine_counters& engine);
[[nodiscard]] json to_json(const device_reading& reading);
[[nodiscard]] json to_json(const model_variant& variant);
[[nodiscard]] json to_json(const model_spec& spec);
[[nodiscard]] json to_json(const artifact_key& key);
[[nodiscard]] json to_json(const token_usage& usage);

[[nodiscard]] json to_json(const messages::reload_report& report);

[[nodiscard]] json to_json(const core::node_view& view);
[[nodiscard]] json to_json(const core::device_view& view);
[[nodiscard]] json to_json(const core::replica_view& view);
[[nodiscard]] json to_json(const core::model_view& view);
[[nodiscard]] json to_json(const core::artifact_view& view);
[[nodiscard]] json to_json(const core::request_view& view);
[[nodiscard]] json to_json(const core::counters_view& view);
[[nodiscard]] json to_json(const core::candidate_view& view);
[[nodiscard]] json to_json(const core::decision_view& view);
[[nodiscard]] json to_json(const core::explanation& view);
[[nodiscard]] json to_json(const core::record_request& record);
[[nodiscard]] json to_json(const core::note& note);

/// `/api/v1/cluster`: {cluster, version, policy, now, queue_depth, queue_depth_max, counters,
/// totals}.
[[nodiscard]] json cluster_json(const core::snapshot& seen);
/// `{"<name>": [...]}` for one list of the snapshot: nodes, devices, models, replicas, artifacts.
/// Null for any other name.
[[nodiscard]] json list_json(const core::snapshot& seen, std::string_view name);
/// `{requests: [...], total, next}`: `next` is what to ask for with `after` to go on, null at the
/// end.
[[nodiscard]] json requests_json(const core::snapshot_page& page);
/// `{nodes: [{node, answered, left_out}], plugins: [...], claims: [...]}`: rows of all nodes, each
/// with its `node`.
[[nodiscard]] json plugins_json(const std::vector<messages::plugins_report>& reports);
/// Adds to `nodes` those that the link guard holds off: to their row, or as a row that says no
/// more.
void show_held_off(json& nodes, const std::vector<links::held_peer>& held);

/// Reads a model_spec in the shape that to_json writes, or the short form {name, source}. Returns:
/// an error of code `invalid_value` naming the field.
[[nodiscard]] result<model_spec> model_spec_from_json(const json& from);

} // namespace consort::gateway
