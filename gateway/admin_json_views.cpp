// SPDX-License-Identifier: Apache-2.0
// The core's snapshot, explanations and records as JSON.
#include "gateway/admin_json.hpp"
#include "links/holds.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

template <class Item>
json list_of(const std::vector<Item>& items) {
  auto out = json::array();
  for (const auto& item : items)
    out.push_back(to_json(item));
  return out;
}

json span(const std::optional<duration_us>& value) {
  return value ? json(*value) : json(nullptr);
}

json totals_json(const core::snapshot& seen) {
  std::uint64_t nodes_alive = 0, devices_alive = 0, running = 0, replicas_ready = 0;
  for (const auto& node : seen.nodes)
    nodes_alive += node.alive ? 1 : 0;
  for (const auto& device : seen.devices) {
    devices_alive += device.alive ? 1 : 0;
    running += device.running;
  }
  for (const auto& replica : seen.replicas)
    replicas_ready += replica.state == "ready" ? 1 : 0;
  return {{"nodes", seen.nodes.size()},         {"nodes_alive", nodes_alive},
          {"devices", seen.devices.size()},     {"devices_alive", devices_alive},
          {"models", seen.models.size()},       {"replicas_ready", replicas_ready},
          {"artifacts", seen.artifacts.size()}, {"requests_running", running}};
}

} // namespace

json to_json(const messages::reload_report& report) {
  return {{"node", report.node.value},           {"answered", report.answered},
          {"took_us", report.took_us},           {"plugins_came", report.plugins_came},
          {"plugins_gone", report.plugins_gone}, {"devices_came", report.devices_came},
          {"devices_gone", report.devices_gone}, {"compilers", report.compilers},
          {"complaints", report.complaints}};
}

json plugins_json(const std::vector<messages::plugins_report>& reports) {
  json whole{{"nodes", json::array()}, {"plugins", json::array()}, {"claims", json::array()}};
  for (const auto& report : reports) {
    const auto& node = report.node.value;
    whole["nodes"].push_back(
        {{"node", node}, {"answered", report.answered}, {"left_out", report.left_out}});
    for (const auto& one : report.plugins)
      whole["plugins"].push_back({{"node", node},
                                  {"name", one.name},
                                  {"version", one.version},
                                  {"vendor", one.vendor},
                                  {"priority", one.priority},
                                  {"origin", one.origin},
                                  {"available", one.available},
                                  {"failed", one.failed},
                                  {"reason", one.reason},
                                  {"devices", one.devices}});
    for (const auto& one : report.claims)
      whole["claims"].push_back({{"node", node},
                                 {"uuid", one.uuid},
                                 {"device", one.device},
                                 {"winner", one.winner},
                                 {"losers", one.losers},
                                 {"reason", one.reason}});
  }
  return whole;
}

json to_json(const core::node_view& view) {
  return {{"node", view.node.value},
          {"life", to_hex(view.life.value)},
          {"alive", view.alive},
          {"suspect", view.suspect},
          {"draining", view.draining},
          {"cordoned", view.cordoned},
          {"running", view.running},
          {"lease_epoch", view.lease_epoch.value},
          {"lease_left_us", view.lease_left_us},
          {"held_off_us", view.held_off_us},
          {"data_address", view.data_address},
          {"toolchains", list_of(view.toolchains)},
          {"attributes", view.attributes}};
}

json to_json(const core::device_view& view) {
  return {{"spec", to_json(view.spec)}, {"reading", to_json(view.reading)},
          {"alive", view.alive},        {"draining", view.draining},
          {"cordoned", view.cordoned},  {"breaker", view.breaker},
          {"running", view.running},    {"loaded", names_json(view.loaded)}};
}

json to_json(const core::replica_view& view) {
  return {{"instance", view.instance.value},
          {"model", view.model.value},
          {"leader", view.leader.value},
          {"devices", names_json(view.devices)},
          {"state", view.state},
          {"running", view.running},
          {"sequences_max", view.sequences_max},
          {"kv_tokens_max", view.kv_tokens_max},
          {"kv_tokens_reserved", view.kv_tokens_reserved},
          {"artifact", view.artifact.value},
          {"prefill_tokens_per_s", view.prefill_tokens_per_s},
          {"decode_tokens_per_s", view.decode_tokens_per_s},
          {"predictions", view.predictions},
          {"first_error_p50_pm", view.first_error_p50_pm},
          {"first_error_p90_pm", view.first_error_p90_pm},
          {"energy_uj_per_token",
           view.energy_uj_per_token > 0 ? json(view.energy_uj_per_token) : json(nullptr)}};
}

json to_json(const core::model_view& view) {
  return {{"spec", to_json(view.spec)},
          {"replicas_ready", view.replicas_ready},
          {"replicas_loading", view.replicas_loading},
          {"waiting", view.waiting},
          {"context_tokens", view.context_tokens > 0 ? json(view.context_tokens) : json(nullptr)}};
}

json to_json(const core::artifact_view& view) {
  // A compiler that tells nothing of its progress has not made none.
  const auto done_pm = view.done_pm == 0 ? json() : json(view.done_pm);
  return {{"key", to_json(view.key)},
          {"model", view.model.value},
          {"state", word_of(view.state)},
          {"content", view.content.value},
          {"size_bytes", view.size_bytes},
          {"nodes", names_json(view.nodes)},
          {"done_pm", done_pm},
          {"eta_us", span(view.eta_us)},
          {"builds", view.builds},
          {"last_error", view.last_error},
          {"quality", view.quality},
          {"own", view.own.value},
          {"replicas", view.replicas}};
}

json to_json(const core::request_view& view) {
  return {{"id", to_string(view.id)},
          {"external_id", view.external_id},
          {"model", view.model.value},
          {"state", view.state},
          {"device", view.device.value},
          {"attempts", view.attempts},
          {"age_us", view.age_us},
          {"tenant", view.tenant.value},
          {"priority", view.priority.empty() ? json(nullptr) : json(view.priority)},
          {"deadline_left_us", span(view.deadline_left_us)},
          {"number", view.number}};
}

json to_json(const core::counters_view& view) {
  return {{"submitted", view.submitted},
          {"finished", view.finished},
          {"failed", view.failed},
          {"cancelled", view.cancelled},
          {"rejected", view.rejected},
          {"expired", view.expired},
          {"attempts", view.attempts},
          {"retries", view.retries},
          {"resumes", view.resumes},
          {"builds_started", view.builds_started},
          {"builds_failed", view.builds_failed},
          {"loads", view.loads},
          {"decisions", view.decisions},
          {"builds_finished", view.builds_finished},
          {"build_us_total", view.build_us_total},
          {"preemptions", view.preemptions},
          {"hedges", view.hedges},
          {"hedges_won", view.hedges_won}};
}

json to_json(const core::candidate_view& view) {
  auto terms = json::array();
  for (const auto& term : view.terms)
    terms.push_back({{"name", term.name}, {"value", term.value}});
  return {{"device", view.device.value},   {"instance", view.instance.value},
          {"removed_by", view.removed_by}, {"reason", view.reason},
          {"score", view.score},           {"terms", std::move(terms)}};
}

json to_json(const core::decision_view& view) {
  return {{"attempt", view.attempt},
          {"at", view.at},
          {"policy", view.policy},
          {"outcome", view.outcome},
          {"reason", view.reason},
          {"winner", view.winner.value},
          {"candidates", list_of(view.candidates)},
          {"candidates_total", view.candidates_total}};
}

json to_json(const core::explanation& view) {
  json made{{"request", to_json(view.request)},
            {"decisions", list_of(view.decisions)},
            {"outcome", view.outcome}};
  if (view.starts_in_us)
    made["starts_in_us"] = *view.starts_in_us;
  if (view.http_status != 0)
    made["http_status"] = view.http_status;
  if (view.retry_after_us)
    made["retry_after_us"] = *view.retry_after_us;
  return made;
}

json to_json(const core::record_request& record) {
  return {{"request", to_string(record.request)},
          {"external_id", record.external_id},
          {"model", record.model.value},
          {"tenant", record.tenant.value},
          {"outcome", word_of(record.outcome)},
          {"device", record.device.value},
          {"attempts", record.attempts},
          {"queued_us", record.queued_us},
          {"total_us", record.total_us},
          {"usage", to_json(record.usage)},
          {"code", record.code}};
}

json to_json(const core::note& note) {
  return {{"level", word_of(note.level)}, {"subject", note.subject}, {"text", note.text}};
}

namespace {

/// Each with the devices that it matches now.
json pools_json(const core::snapshot& seen) {
  auto pools = json::array();
  for (const auto& [name, meaning] : seen.pools) {
    const auto parsed = core::selector::parse(meaning, seen.pools);
    auto devices = json::array();
    for (const auto& device : seen.devices)
      if (parsed && parsed->matches(device.spec))
        devices.push_back(device.spec.id.value);
    pools.push_back({{"name", name}, {"selector", meaning}, {"devices", std::move(devices)}});
  }
  return pools;
}

} // namespace

json cluster_json(const core::snapshot& seen) {
  return {{"cluster", seen.cluster},
          {"version", CONSORT_VERSION},
          {"policy", seen.policy},
          {"now", seen.now},
          {"queue_depth", seen.queue_depth},
          {"queue_depth_max", seen.queue_depth_max},
          {"counters", to_json(seen.counters)},
          {"totals", totals_json(seen)}};
}

void show_held_off(json& nodes, const std::vector<links::held_peer>& held) {
  for (const auto& one : held) {
    if (one.role != links::peer_role::node)
      continue;
    const auto row = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const json& node) { return node.at("node") == one.name; });
    if (row == nodes.end()) {
      core::node_view stranger; // It never got as far as the scheduler.
      stranger.node = node_id(one.name);
      stranger.held_off_us = one.left_us;
      nodes.push_back(to_json(stranger));
    } else {
      (*row)["held_off_us"] = std::max((*row)["held_off_us"].get<duration_us>(), one.left_us);
    }
  }
}

json list_json(const core::snapshot& seen, std::string_view name) {
  const auto wrap = [&](json list) { return json{{std::string(name), std::move(list)}}; };
  if (name == "nodes")
    return wrap(list_of(seen.nodes));
  if (name == "pools")
    return wrap(pools_json(seen));
  if (name == "devices")
    return wrap(list_of(seen.devices));
  if (name == "models")
    return wrap(list_of(seen.models));
  if (name == "replicas")
    return wrap(list_of(seen.replicas));
  if (name == "artifacts")
    return wrap(list_of(seen.artifacts));
  return nullptr;
}

json requests_json(const core::snapshot_page& page) {
  return {{"requests", list_of(page.rows.requests)},
          {"total", page.rows.requests_total},
          {"next", page.next ? json(page.next->number) : json(nullptr)}};
}

} // namespace consort::gateway
