// SPDX-License-Identifier: Apache-2.0
// One number over what can reach a decision, by FNV-1a over fixed-width little-endian fields in
// order of row or id, so that two runs can be compared step by step. What caches are thought to
// hold is left out, as large as it is: where that differs, what is predicted of attempts soon does.
#include "scheduler/modules.hpp"

namespace consort::core {

namespace {

class hasher {
public:
  void number(std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte, value >>= 8U)
      state_ = (state_ ^ (value & 0xFFU)) * 0x100000001b3U;
  }
  void number(std::int64_t value) { number(static_cast<std::uint64_t>(value)); }
  void number(std::uint32_t value) { number(std::uint64_t{value}); }
  void flag(bool value) { number(std::uint64_t{value ? 1U : 0U}); }
  void text(std::string_view value) {
    number(std::uint64_t{value.size()});
    for (const char c : value)
      state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  [[nodiscard]] std::uint64_t value() const { return state_; }

private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

template <class Enum>
std::uint32_t ordinal(Enum value) {
  return static_cast<std::uint32_t>(value);
}

void add_hardware(const core_state& s, hasher& into) {
  for (const auto& [name, at] : s.node_names) {
    const auto& one = s.nodes[at];
    into.text(name);
    into.number(one.life.value);
    into.flag(one.alive);
    into.flag(one.suspect);
    into.flag(one.leaving);
    into.flag(one.draining);
    into.flag(one.cordoned);
    into.number(one.move_at);
    into.number(one.lease_epoch.value);
    into.number(one.lease_until);
    into.number(one.compiles);
    into.number(one.losses);
    into.number(one.trusted_at);
    into.number(one.telling_until);
    into.number(one.back_at);
  }
  for (const auto& [name, at] : s.device_names) {
    const auto& one = s.devices[at];
    into.text(name);
    into.flag(one.present);
    into.flag(one.withdrawn);
    into.flag(one.awaited);
    into.number(one.withdraw_at);
    into.flag(one.draining);
    into.flag(one.cordoned);
    into.number(one.move_at);
    into.number(ordinal(one.reading.health));
    into.number(one.promised_bytes);
    into.number(one.foreign_bytes);
    into.number(one.foreign_seen);
    into.number(one.allocations);
    into.number(one.whole);
  }
}

void add_pairs(const core_state& s, hasher& into) {
  for (index at = 0; at < s.pairs.end(); ++at) {
    const auto& one = s.pairs[at];
    into.number(one.device);
    into.number(one.speed.first_ns);
    into.number(one.speed.prefill_ns);
    into.number(one.speed.decode_ns);
    into.number(one.speed.gain_pm);
    into.number(one.speed.load_us);
    into.number(one.speed.samples);
    into.number(one.pace.prefill_pm);
    into.number(one.pace.decode_pm);
    into.number(one.power.learned_pm);
    into.number(one.power.used_pm);
    into.number(one.power.token_uj);
    into.number(ordinal(one.fuse.state()));
    into.number(one.fuse.failures());
    into.flag(one.room.full());
    into.number(one.room.until());
    into.number(one.room.since());
    into.number(one.room.told());
    into.number(one.load_failures);
    into.number(one.engine_failures);
    into.number(one.broken_loads);
    into.number(one.load_retry_at);
    for (const auto& bar : one.bars) {
      into.number(bar.variant);
      into.number(bar.artifact);
      into.flag(bar.any_engine);
      into.number(bar.refusals);
      into.number(bar.until);
    }
  }
}

void add_instances(const core_state& s, hasher& into) {
  for (const auto& [id, at] : s.instance_ids) {
    const auto& one = s.instances[at];
    into.number(id.value);
    into.number(one.model);
    into.number(one.variant);
    into.number(ordinal(one.state));
    into.flag(one.proven);
    into.flag(one.retiring);
    into.flag(one.superseded);
    into.number(one.used_at);
    into.number(one.cache.written);
    into.number(one.cache.kept);
    into.number(one.cache.wrote);
    into.number(one.cache.regretted);
    into.number(one.cache.halved_at);
    for (const auto device : one.devices)
      into.number(device);
    for (const auto place : one.places) {
      const auto& endpoint = s.models[one.model].endpoints.at(place);
      into.number(place);
      into.number(endpoint.seq_max);
      into.number(endpoint.seq_used);
      into.number(endpoint.kv_max);
      into.number(endpoint.kv_used);
      into.number(endpoint.work_ns);
      into.number(endpoint.reads_until_ns);
      into.number(endpoint.worst_gap_us);
      into.number(endpoint.ramp);
      into.number(endpoint.forgets_pm);
      into.number(endpoint.grown);
      into.flag(endpoint.open);
      into.flag(endpoint.shut);
    }
  }
  for (const auto& [id, entry] : s.allocations) {
    into.number(id.value);
    into.number(entry.grant.fence.value);
    into.number(ordinal(entry.grant.state));
    for (const auto& member : entry.members)
      into.flag(member.reserved);
  }
}

void add_artifacts(const core_state& s, hasher& into) {
  for (const auto& [key, at] : s.artifact_keys) {
    const auto& one = s.artifacts[at];
    into.text(key.binds);
    into.text(key.profile.name);
    into.number(one.building.value);
    into.flag(one.refused);
    into.number(one.failures);
    into.number(one.retry_at);
    into.number(one.missed_until);
    into.number(one.losses);
    into.flag(one.ordered);
    for (const auto& copy : one.copies) {
      into.number(copy.node);
      into.text(copy.record.content.value);
      into.number(copy.served);
    }
    for (const auto& [node, until] : one.avoided) {
      into.number(node);
      into.number(until);
    }
    for (const auto& [node, fetch] : one.fetching) {
      into.number(node);
      into.number(fetch.from);
      into.number(fetch.until);
      into.flag(fetch.under_way);
    }
  }
  for (const auto& [id, build] : s.compiles) {
    into.number(id.value);
    into.number(build.node);
    into.number(build.done_pm);
    into.flag(build.started);
  }
}

void add_requests(const core_state& s, hasher& into) {
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot))
      continue;
    const auto& r = s.requests[slot];
    into.number(slot);
    into.number(r.sequence);
    into.number(r.meta.id.gateway.value);
    into.number(r.meta.id.sequence);
    into.number(ordinal(r.phase));
    into.number(r.attempt);
    into.number(r.issued);
    into.number(r.twin);
    into.number(r.rival);
    into.number(r.hedge_at);
    into.flag(r.is_hedge);
    into.flag(r.hedged);
    into.number(r.emitted);
    into.number(r.fruitless);
    into.number(r.preempted);
    into.number(r.tenant);
    into.number(r.charged);
    into.number(r.tokens);
    into.number(r.heard_at);
    into.number(r.missing_at);
    into.number(r.gap_us);
    into.number(r.quiet_until);
    into.number(r.slow_since);
    into.number(r.round);
    into.number(r.sought.value);
    into.number(r.held.kv_tokens);
    into.number(r.held.work_ns);
    into.number(r.reserved_micros);
    for (const auto& hold : r.stages) {
      into.number(hold.instance);
      into.number(hold.held.kv_tokens);
      into.number(hold.held.work_ns);
    }
    for (const auto device : r.excluded)
      into.number(device);
  }
}

void add_gateways(const core_state& s, hasher& into) {
  for (const auto& [id, at] : s.gateway_ids) {
    const auto& one = s.gateways[at];
    into.number(id.value);
    into.number(one.requests);
    into.flag(one.away);
    into.number(one.until);
    into.number(one.heard_at);
    into.number(one.round);
  }
}

} // namespace

std::uint64_t digest_of(const core_state& s) {
  hasher into;
  into.number(s.now);
  into.number(s.random.fingerprint());
  into.number(s.next_number);
  into.number(s.next_epoch);
  into.number(s.next_sequence);
  into.number(s.version);
  into.number(s.waiting);
  into.number(s.taking_over_until);
  into.number(s.returning_until);
  into.number(s.settling_until);
  into.number(s.found_early.size());
  into.number(s.retry_credit_pm);
  into.number(s.hedge_credit_pm);
  into.number(s.remote_left_micros);
  add_hardware(s, into);
  add_pairs(s, into);
  add_instances(s, into);
  add_artifacts(s, into);
  for (index at = 0; at < s.models.end(); ++at) {
    into.text(s.models[at].spec.name.value);
    into.flag(s.models[at].removed);
    into.number(s.models[at].output_tokens);
    into.number(s.models[at].arrivals.per_1000_s(s.now));
    into.number(s.models[at].prompt_tokens);
    into.number(std::uint64_t{s.models[at].queue.size()});
    into.number(s.models[at].batch_running);
    into.number(s.models[at].aged_place);
    for (const auto& promises : s.models[at].promises)
      into.number(promises.credit_pm());
  }
  add_requests(s, into);
  add_gateways(s, into);
  for (const auto& due : s.timers) {
    into.number(due.at);
    into.number(ordinal(due.kind));
    into.number(due.who);
  }
  into.number(s.counters.decisions);
  return into.value();
}

} // namespace consort::core
