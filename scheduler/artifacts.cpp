// SPDX-License-Identifier: Apache-2.0
// Artifacts: absent -> building -> ready -> failed, one build per key in the whole cluster.
#include "scheduler/adoption.hpp"
#include "scheduler/device_waits.hpp"
#include "scheduler/formats.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/resting_weights.hpp"
#include "scheduler/units.hpp"
#include "scheduler/unwanted_builds.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <optional>
#include <tuple>

namespace consort::core {

namespace {

std::string subject(const artifact_entry& entry) {
  return entry.key.profile.name + ":" + entry.key.binds.substr(0, 12);
}

bool compiles(const node_state& node, const build_profile& profile) {
  return std::find(node.toolchains.begin(), node.toolchains.end(), profile)
         != node.toolchains.end();
}

bool avoided(const artifact_entry& entry, index node, time_us now) {
  const auto found = entry.avoided.find(node);
  return found != entry.avoided.end() && found->second > now;
}

/// Whether requests are at work on one of its devices.
bool serves(const core_state& s, index node) {
  return std::any_of(s.nodes[node].devices.begin(), s.nodes[node].devices.end(), [&](index device) {
    const auto& held = s.devices[device].instances;
    return std::any_of(held.begin(), held.end(),
                       [&](index instance) { return !s.instances[instance].idle(); });
  });
}

/// The node that builds least and serves nobody, the one near the device that wants it among
/// equals, then by id; one that could not build it lately, or has no free device for it, only when
/// there is no other. Weights go where they are wanted, and what needs a device is built on one
/// that waits for it.
index builder_for(const core_state& s, const artifact_entry& entry, index near_node, time_us now) {
  index best = none;
  const bool needs_device = entry.key.profile.needs_device;
  const bool stays = is_weights(entry.key.profile) || needs_device;
  const auto cost = [&](index at) {
    const bool far = at != near_node;
    const bool waits = needs_device && device_for(s, entry, at) == none;
    return std::tuple(avoided(entry, at, now), waits, stays && far, s.nodes[at].compiles,
                      serves(s, at), far);
  };
  for (const auto& [name, at] : s.node_names) {
    const auto& node = s.nodes[at];
    if (!node.alive || node.suspect || node.stopped() || !compiles(node, entry.key.profile)
        || node.compiles >= limits::compiles_per_node_max)
      continue;
    if (best == none || cost(at) < cost(best))
      best = at;
  }
  return best;
}

/// Whether a node that is up could try it that has not failed to lately, busy or not.
bool untried(const core_state& s, const artifact_entry& entry, time_us now) {
  return std::any_of(s.node_names.begin(), s.node_names.end(), [&](const auto& one) {
    const auto& node = s.nodes[one.second];
    return node.alive && compiles(node, entry.key.profile) && !avoided(entry, one.second, now);
  });
}

/// What is to be built from is not there, or not what was declared.
bool source_unfit(const error& failure) {
  return failure.code == "model_missing" || failure.code == "model_changed";
}

/// They are refused until `retry_at`, or till somebody asks for them.
void let_rest(pass& p, index artifact) {
  auto& entry = p.s.artifacts[artifact];
  entry.refused = true;
  entry.retry_at = std::max(entry.retry_at, p.now + limits::corrupt_backoff_us);
  arm(p.s, entry.retry_at, timer_kind::fetch, artifact);
}

/// As if no build of it had failed. What was refused may be an option again.
void forgive(core_state& s, artifact_entry& entry) {
  if (entry.refused)
    changed_statically(s);
  entry.failures = 0;
  entry.refused = false;
  entry.retry_at = 0;
  entry.avoided.clear();
  entry.last_error.clear();
}

void add_copy(core_state& s, index artifact, index node, const artifact_record& record) {
  auto& entry = s.artifacts[artifact];
  auto& copies = entry.copies;
  const auto at
      = std::lower_bound(copies.begin(), copies.end(), node,
                         [](const artifact_copy& one, index other) { return one.node < other; });
  if (at != copies.end() && at->node == node)
    at->record = record;
  else
    copies.insert(at, {node, record});
  entry.fetching.erase(node);
  forgive(s, entry);
  if (record.build_us > 0)
    entry.build_us
        = entry.build_us == 0 ? record.build_us : robust_mean(entry.build_us, record.build_us);
  changed_statically(s);
}

/// Whether somebody may soon have it and serve others: not one that takes long.
bool fetched_soon(const artifact_entry& entry, time_us now) {
  return std::any_of(entry.fetching.begin(), entry.fetching.end(), [now](const auto& one) {
    const auto& fetch = one.second;
    return fetch.under_way && fetch.until > now && now - fetch.since < limits::fetch_patience_us;
  });
}

/// For people: whose weights they are; none when no model has them.
index model_of_weights(const core_state& s, const std::string& binds) {
  for (index at = 0; at < s.models.end(); ++at)
    for (const auto& variant : s.models[at].spec.variants)
      if (!s.models[at].removed && binds_of(variant) == binds)
        return at;
  return none;
}

compile_entry* known_compile(core_state& s, compile_id id, incarnation life) {
  const auto found = s.compiles.find(id);
  if (found == s.compiles.end() || !believed(s, found->second.node, life))
    return nullptr;
  return &found->second;
}

} // namespace

index artifact_of(core_state& s, const artifact_key& key) {
  const auto found = s.artifact_keys.find(key);
  if (found != s.artifact_keys.end())
    return found->second;
  if (s.artifacts.live() >= limits::artifacts_max)
    return none;
  const auto at = s.artifacts.add();
  s.artifacts[at].key = key;
  s.artifact_keys.emplace(key, at);
  return at;
}

artifact_state state_of(const artifact_entry& entry, time_us) {
  if (entry.building)
    return artifact_state::building;
  if (!entry.copies.empty())
    return artifact_state::ready;
  return entry.refused || entry.failures > 0 ? artifact_state::failed : artifact_state::absent;
}

namespace {

/// Progress of a build, per mille, that is enough to tell the rest by.
constexpr std::uint32_t build_told_pm = 50;

} // namespace

namespace {

/// Null where the node has none. Asked of every device by who looks at all of them, and as many
/// nodes may have one.
const artifact_copy* copy_on(const artifact_entry& entry, index node) {
  const auto at
      = std::lower_bound(entry.copies.begin(), entry.copies.end(), node,
                         [](const artifact_copy& one, index other) { return one.node < other; });
  return at != entry.copies.end() && at->node == node ? &*at : nullptr;
}

} // namespace

bool held_by(const artifact_entry& entry, index node) {
  return copy_on(entry, node) != nullptr;
}

bool holds_held(const artifact_entry& entry, index node) {
  const auto* copy = copy_on(entry, node);
  return copy != nullptr && copy->record.held;
}

bool obtainable(const core_state& s, const artifact_entry& entry) {
  if (!entry.copies.empty() || entry.building)
    return true;
  if (!entry.refused && !is_weights(entry.key.profile) && refused_weights(s, entry) != none)
    return false;
  // A node that is down now may come back with its compiler.
  for (const auto& [name, node] : s.node_names)
    if (!entry.refused && compiles(s.nodes[node], entry.key.profile))
      return true;
  return false;
}

duration_us build_expected(const core_state& s, const artifact_entry& entry) {
  if (entry.build_us > 0)
    return entry.build_us;
  // Another model's build by the same compiler is a better guess than none.
  duration_us seen = 0;
  for (const auto& [key, at] : s.artifact_keys)
    if (key.profile == entry.key.profile)
      seen = std::max(seen, s.artifacts[at].build_us);
  return seen > 0 ? seen : limits::build_guess_us;
}

std::optional<duration_us> build_eta(const compile_entry& build, time_us now) {
  const auto spent = std::max<duration_us>(now - build.started_at, 0);
  if (build.started && build.done_pm >= build_told_pm)
    return spent * (1000 - build.done_pm) / build.done_pm;
  return build.expected_us > spent ? std::optional(build.expected_us - spent) : std::nullopt;
}

duration_us build_left(const core_state&, const compile_entry& build, time_us now) {
  const auto spent = std::max<duration_us>(now - build.started_at, 0);
  // Progress beats memory once there is enough of it to extrapolate; late builds are expected to
  // stay late.
  if (const auto eta = build_eta(build, now);
      eta && build.started && build.done_pm >= build_told_pm)
    return *eta;
  return std::max(build.expected_us - spent, spent / 4 + 1);
}

bool weights_there(pass& p, const model_variant& source, index model, index node, bool& under_way) {
  if (!weights_elsewhere(source.source))
    return true;
  const auto weights = artifact_of(p.s, weights_key(source));
  if (weights == none)
    return false;
  const auto& entry = p.s.artifacts[weights];
  if (held_by(entry, node))
    return true;
  if (entry.copies.empty()) {
    under_way = ensure_built(p, weights, model, node);
    return false;
  }
  ensure_fetched(p, weights, node);
  under_way = true;
  return false;
}

index cache_for(const core_state& s, const model_spec& spec, const option& by) {
  if (by.artifact != none && !is_weights(s.artifacts[by.artifact].key.profile))
    return none;
  const auto& variant = spec.variants[by.variant];
  for (const auto& one : s.devices[by.device].spec.capability.caches)
    if (runs_format(one.reads, variant.format)) {
      const auto known
          = s.artifact_keys.find(cache_key(variant, one.profile, spec.devices_per_instance));
      return known == s.artifact_keys.end() ? none : known->second;
    }
  return none;
}

bool cache_comes(pass& p, index artifact, index model, index node) {
  auto& entry = p.s.artifacts[artifact];
  if (entry.copies.empty() || held_by(entry, node))
    return false;
  entry.model = model;
  ensure_fetched(p, artifact, node);
  const auto& fetch = entry.fetching[node];
  if (fetch.failures > 0) // A start without it is slow, and no more.
    return false;
  return (fetch.under_way && fetch.until > p.now) || fetched_soon(entry, p.now);
}

namespace {

/// Once for each order, and for what is built by itself: nobody looks for a build that never began.
void tell_of_device_wait(pass& p, index artifact) {
  auto& entry = p.s.artifacts[artifact];
  if (entry.wait_told)
    return;
  const auto words = device_wait_words(p.s, entry);
  entry.wait_told = !words.empty();
  if (entry.wait_told)
    p.tell(note::severity::warning, subject(entry),
           "not built for " + p.s.models[entry.model].spec.name.value + " yet: " + words);
}

} // namespace

bool ensure_built(pass& p, index artifact, index model, index near_node) {
  auto& s = p.s;
  auto& entry = s.artifacts[artifact];
  if (entry.building)
    return true;
  if (!entry.copies.empty() || entry.refused)
    return false;
  entry.model = model;
  if (entry.retry_at > p.now)
    return arm(s, entry.retry_at, timer_kind::model, model), false;
  const auto node = builder_for(s, entry, near_node, p.now);
  const auto source = source_of(s, entry);
  if (node == none || !source)
    return false;
  bool under_way = false;
  if (!is_weights(entry.key.profile) && !weights_there(p, *source, model, node, under_way))
    return under_way;
  const bool needs_device = entry.key.profile.needs_device;
  const auto device = needs_device ? device_for(s, entry, node) : none;
  if (needs_device && device == none)
    return tell_of_device_wait(p, artifact), false;
  entry.wait_told = false;
  const compile_id id{++s.next_number};
  entry.building = id;
  ++s.nodes[node].compiles;
  auto& build = s.compiles[id];
  build.artifact = artifact;
  build.node = node;
  build.device = device;
  build.life = s.nodes[node].life;
  build.started_at = p.now;
  build.expected_us = build_expected(s, entry);
  build.deadline = p.now + limits::compile_timeout_us;
  arm(s, build.deadline, timer_kind::compile, id.value);
  if (device != none)
    build.grant = reserve(p, {{s.devices[device].spec.id, true, 0}}, {}, id);
  else
    begin_compile(p, id);
  changed(s);
  return true;
}

void begin_compile(pass& p, compile_id id) {
  auto& s = p.s;
  auto& build = s.compiles.at(id);
  auto& entry = s.artifacts[build.artifact];
  const auto source = source_of(s, entry);
  if (!source)
    return fail_compile(p, id, {recovery::retry_later, "model_gone", "its model was removed"});
  start_compile order;
  order.node = s.nodes[build.node].id;
  order.compile = id;
  order.key = entry.key;
  order.model = s.models[entry.model].spec.name;
  order.source = *source;
  if (build.grant)
    order.grant = s.allocations.at(build.grant).grant;
  build.started = true;
  build.started_at = p.now;
  ++entry.builds;
  ++s.counters.builds_started;
  const bool weights = is_weights(entry.key.profile);
  if (!weights || entry.failures == 0) // Else it was told that it is tried again.
    p.tell(note::severity::info, subject(entry),
           weights ? order.node.value + " fetches the weights of " + order.model.value
                   : "compiling for " + order.model.value + " on " + order.node.value + ", about "
                         + format_duration(build.expected_us));
  p.send(std::move(order));
}

void ensure_fetched(pass& p, index artifact, index node) {
  auto& entry = p.s.artifacts[artifact];
  auto& fetch = entry.fetching[node];
  if (fetch.until > p.now)
    return;
  // The holder that served least; one that failed last only when there is no other.
  artifact_copy* chosen = nullptr;
  const auto cost = [&](const artifact_copy& copy) {
    return std::pair(fetch.failures > 0 && copy.node == fetch.from, copy.served);
  };
  for (auto& copy : entry.copies) {
    const auto& from = p.s.nodes[copy.node];
    if (!from.alive || from.suspect || copy.node == node)
      continue;
    if (chosen == nullptr || cost(copy) < cost(*chosen))
      chosen = &copy;
  }
  if (chosen == nullptr)
    return;
  // It has done its share: whoever fetches it now serves the others.
  if (chosen->served >= limits::fetches_per_copy && fetched_soon(entry, p.now))
    return arm(p.s, p.now + limits::fetch_turn_us, timer_kind::fetch, artifact);
  ++chosen->served;
  fetch.from = chosen->node;
  fetch.under_way = true;
  fetch.since = p.now;
  fetch.until
      = p.now + limits::fetch_timeout_us
        + static_cast<duration_us>(newest_bytes(chosen->record) / limits::fetch_bytes_per_s_min)
              * limits::second_us;
  arm(p.s, fetch.until, timer_kind::fetch, artifact);
  const auto& from = p.s.nodes[chosen->node];
  p.send(fetch_artifact{p.s.nodes[node].id, newest_of(chosen->record), entry.key, from.id,
                        from.data_address});
}

namespace {

/// Takes down what it failed of and when it may be tried again, not before its server asked for.
/// Returns: whether the very same was told before: a server that weights come from may be away for
/// hours.
bool note_failure(artifact_entry& entry, const error& failure, duration_us asked_us, time_us now) {
  const bool weights = is_weights(entry.key.profile);
  const bool told = weights && failure.action == recovery::retry_later && entry.failures > 0
                    && entry.last_error == failure.message;
  entry.last_error = failure.message;
  entry.refused = failure.action == recovery::refuse;
  const auto step = entry.failures++;
  const auto pause
      = weights ? backoff(limits::fetch_backoff_min_us, limits::fetch_backoff_max_us, step)
                : backoff(limits::build_backoff_min_us, limits::build_backoff_max_us, step);
  entry.retry_at = now + std::max(pause, std::min(asked_us, limits::retry_after_max_us));
  return told;
}

/// `asked_us`: not tried again before, as the server of the weights asked for; 0 = it did not.
void fail_compile_and_wait(pass& p, compile_id id, const error& failure, duration_us asked_us) {
  if (!p.s.compiles.contains(id))
    return;
  const auto build = close_compile(p, id);
  auto& entry = p.s.artifacts[build.artifact];
  const bool told = note_failure(entry, failure, asked_us, p.now);
  const bool corrupt = failure.code == "weights_corrupt";
  // For good; but what is whole and other than declared comes again.
  if (entry.refused)
    entry.retry_at = 0;
  if (corrupt)
    let_rest(p, build.artifact);
  if (failure.action == recovery::retry_elsewhere) {
    entry.avoided[build.node] = p.now + limits::build_backoff_max_us;
    const auto next = builder_for(p.s, entry, build.node, p.now);
    if (next != none && !avoided(entry, next, p.now))
      entry.retry_at = 0;
    else if (source_unfit(failure) && !untried(p.s, entry, p.now))
      let_rest(p, build.artifact);
  }
  if (entry.model != none && entry.retry_at == 0 && !entry.refused) {
    p.s.models[entry.model].placed_version = 0; // In this very step.
    mark_dirty(p.s, entry.model);
  } else if (entry.model != none && !entry.refused) {
    arm(p.s, entry.retry_at, timer_kind::model, entry.model);
  }
  if (build.started)
    ++p.s.counters.builds_failed;
  if (!told)
    p.tell(note::severity::error, subject(entry),
           (is_weights(entry.key.profile) ? "fetch failed on " : "compile failed on ")
               + p.s.nodes[build.node].id.value + ": " + entry.last_error
               + next_try_words(p.s, entry, p.now));
}

} // namespace

void forget_fetches_of(pass& p, index node) {
  for (const auto& [key, at] : p.s.artifact_keys)
    p.s.artifacts[at].fetching.erase(node);
}

void fail_compile(pass& p, compile_id id, const error& failure) {
  fail_compile_and_wait(p, id, failure, 0);
}

void forgive_sources_of(core_state& s, index model) {
  for (index at = 0; at < s.artifacts.end(); ++at)
    if (s.artifacts[at].model == model && rests(s.artifacts[at]))
      forgive(s, s.artifacts[at]);
  const auto again = [&](const model_variant& source) {
    if (source.content.empty())
      return;
    const auto known = s.artifact_keys.find(weights_key(source));
    if (known == s.artifact_keys.end() || !s.artifacts[known->second].copies.empty())
      return;
    forgive(s, s.artifacts[known->second]);
    s.artifacts[known->second].losses = 0;
  };
  for (const auto& variant : s.models[model].spec.variants) {
    again(variant);
    for (const auto& adapter : variant.adapters)
      again(weights_of(adapter));
  }
}

void check_fetch(pass& p, index artifact) {
  auto& entry = p.s.artifacts[artifact];
  if (!rests(entry) || entry.retry_at > p.now)
    return changed(p.s);
  entry.refused = false;
  changed_statically(p.s);
}

void check_compile(pass& p, compile_id id) {
  const auto found = p.s.compiles.find(id);
  if (found == p.s.compiles.end() || found->second.deadline > p.now)
    return;
  const auto& build = found->second;
  if (build.started && believed(p.s, build.node, build.life))
    p.send(cancel_compile{p.s.nodes[build.node].id, id});
  fail_compile(p, id, {recovery::retry_later, "compile_timeout", "took longer than allowed"});
}

void forgive_builds_of(core_state& s, index node) {
  for (index at = 0; at < s.artifacts.end(); ++at)
    if (compiles(s.nodes[node], s.artifacts[at].key.profile) && s.artifacts[at].copies.empty())
      forgive(s, s.artifacts[at]);
}

void forget_artifacts_of(pass& p, index node, const std::string& why) {
  for (index at = 0; at < p.s.artifacts.end(); ++at) {
    auto& entry = p.s.artifacts[at];
    const auto gone
        = std::erase_if(entry.copies, [&](const artifact_copy& one) { return one.node == node; });
    if (gone > 0 && entry.copies.empty()) {
      entry.last_error.clear(); // Of copies of what is gone.
      entry.missed_until = p.now + limits::rejoin_grace_us;
    }
    entry.fetching.erase(node);
    entry.avoided.erase(node);
    // Who was fetching from it fetches elsewhere.
    for (auto& [to, fetch] : entry.fetching)
      if (fetch.under_way && fetch.from == node)
        fetch = {node, false, 0, fetch.failures, 0};
  }
  std::vector<compile_id> lost;
  for (const auto& [id, build] : p.s.compiles)
    if (build.node == node)
      lost.push_back(id);
  for (const auto id : lost) {
    const auto build = close_compile(p, id);
    auto& entry = p.s.artifacts[build.artifact];
    entry.last_error = "its node " + why;
    p.tell(note::severity::warning, subject(entry), "compile lost: " + entry.last_error);
  }
}

void on(pass& p, const artifact_found& e) {
  const auto node = find(p.s.node_names, e.record.node.value);
  if (!believed(p.s, node, e.life) || e.record.content.empty())
    return;
  const auto at = artifact_of(p.s, e.record.key);
  if (at == none)
    return;
  if (p.s.artifacts[at].model == none && e.record.key.kind == artifact_kind::cache)
    p.s.artifacts[at].model = model_of_weights(p.s, e.record.key.binds);
  if (const auto under_way = p.s.artifacts[at].building;
      under_way && !is_weights(e.record.key.profile)) {
    // A node that is back names what it has before it says what it built meanwhile. Else it was
    // imported, or is on another node that came back: the build would replace it.
    const auto& build = p.s.compiles.at(under_way);
    if (build.started && build.node == node && e.record.build_us > 0)
      return on(p, compile_finished{under_way, e.life, e.record});
    end_build(p, under_way, e.record.node.value + " has one");
  }
  add_copy(p.s, at, node, e.record);
}

void on(pass& p, const fetch_failed& e) {
  const auto node = find(p.s.node_names, e.node.value);
  const auto found = p.s.artifact_keys.find(e.key);
  if (!believed(p.s, node, e.life) || found == p.s.artifact_keys.end())
    return;
  auto& entry = p.s.artifacts[found->second];
  const auto fetch = entry.fetching.find(node);
  if (fetch == entry.fetching.end() || !fetch->second.under_way)
    return;
  // Until there is another copy; whoever waits for this one is told.
  entry.last_error = "copy to " + e.node.value + " failed: " + e.failure.message;
  p.tell(note::severity::warning, subject(entry), entry.last_error);
  auto& tried = fetch->second;
  tried.under_way = false;
  for (auto& copy : entry.copies) // It has not served, after all.
    if (copy.node == tried.from && copy.served > 0)
      --copy.served;
  tried.until
      = p.now
        + backoff(limits::fetch_backoff_min_us, limits::fetch_backoff_max_us, tried.failures++);
  arm(p.s, tried.until, timer_kind::fetch, found->second);
  if (entry.key.kind == artifact_kind::cache) // Whoever waited for it starts without.
    changed(p.s);
}

void on(pass& p, const artifact_lost& e) {
  const auto node = find(p.s.node_names, e.node.value);
  const auto found = p.s.artifact_keys.find(e.key);
  if (!believed(p.s, node, e.life) || found == p.s.artifact_keys.end())
    return;
  auto& entry = p.s.artifacts[found->second];
  entry.fetching.erase(node);
  const auto gone = std::erase_if(entry.copies, [&](const artifact_copy& one) {
    return one.node == node && one.record.content == e.content;
  });
  if (gone == 0)
    return;
  p.tell(note::severity::warning, subject(entry), "copy lost on " + e.node.value + ": " + e.reason);
  if (entry.copies.empty())
    entry.last_error.clear();
  if (entry.copies.empty() && ++entry.losses > limits::lost_rebuilds_max) {
    entry.refused = true;
    entry.last_error = "lost again after a rebuild: " + e.reason;
    if (is_weights(entry.key.profile)) // Nobody built them: they may be whole again elsewhere.
      let_rest(p, found->second);
  }
  changed_statically(p.s);
}

void on(pass& p, const compile_progressed& e) {
  if (auto* build = known_compile(p.s, e.compile, e.life))
    build->done_pm = std::max(build->done_pm, std::min(e.done_pm, 1000U));
}

void on(pass& p, const compile_finished& e) {
  const auto* build = known_compile(p.s, e.compile, e.life);
  if (build == nullptr || !build->started)
    return on(p, artifact_found{e.record, e.life});
  const auto& key = p.s.artifacts[build->artifact].key;
  if (e.record.key != key || e.record.content.empty())
    return fail_compile(p, e.compile,
                        {recovery::refuse, "compile_wrong", "built something else than asked"});
  const auto artifact = build->artifact;
  const auto node = build->node;
  const auto spent = p.now - build->started_at;
  close_compile(p, e.compile);
  auto record = e.record;
  record.node = p.s.nodes[node].id;
  if (record.build_us <= 0)
    record.build_us = std::max<duration_us>(spent, 1);
  add_copy(p.s, artifact, node, record);
  ++p.s.counters.builds_finished;
  p.s.counters.build_us_total += static_cast<std::uint64_t>(record.build_us);
  p.tell(note::severity::info, subject(p.s.artifacts[artifact]),
         (is_weights(key.profile) ? "fetched on " : "compiled on ") + record.node.value + " in "
             + format_duration(record.build_us));
}

void on(pass& p, const compile_failed& e) {
  if (known_compile(p.s, e.compile, e.life) != nullptr)
    fail_compile_and_wait(p, e.compile, e.failure, e.retry_after_us);
}

void on(pass& p, const compile_requested& e) {
  const auto model = find(p.s.model_names, e.model.value);
  const auto wanted = selector::parse(e.selector, p.s.config.pools);
  if (model == none || p.s.models[model].removed || !wanted)
    return p.tell(note::severity::warning, e.model.value,
                  wanted ? "cannot compile: no such model" : wanted.failure().message);
  forgive_sources_of(p.s, model);
  refresh_options(p.s, model);
  std::vector<std::pair<index, index>> near; // Artifacts, each with the node of who asks first.
  std::string unread;
  for (const auto& one : p.s.models[model].options) {
    const auto& device = p.s.devices[one.device].spec;
    if (!wanted->matches(device))
      continue;
    if (one.removed_by == filter_id::format && unread.empty())
      unread = unread_words(p.s.models[model].spec, device.capability);
    if (one.removed_by == filter_id::format && unread.empty())
      unread = unfit_words(p.s.models[model].spec, device);
    if (one.named == none)
      continue;
    auto& entry = p.s.artifacts[one.named];
    forgive(p.s, entry); // Whoever asks has mended what it failed of.
    entry.losses = 0;
    entry.missed_until = 0;
    entry.ordered = true;
    entry.wait_told = false; // To whoever asks it is told anew.
    entry.model = model;
    near.emplace_back(one.named, p.s.devices[one.device].node);
  }
  // Before devices that were not asked for have it built near them.
  if (p.now >= p.s.taking_over_until)
    for (const auto& [artifact, node] : near)
      if (p.s.artifacts[artifact].copies.empty())
        ensure_built(p, artifact, model, node);
  if (near.empty())
    p.tell(note::severity::warning, e.model.value,
           "nothing to compile: no device of '" + e.selector + "' runs artifacts of it"
               + (unread.empty() ? "" : ": " + unread));
  ++p.s.version;
  mark_dirty(p.s, model);
}

} // namespace consort::core
