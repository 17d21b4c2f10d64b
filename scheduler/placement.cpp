// SPDX-License-Identifier: Apache-2.0
// What is loaded where: kept replicas, loads and compiles for those who wait, warm-ups of faster
// devices in the background, room made by unloading the least recently used.
#include "scheduler/adoption.hpp"
#include "scheduler/crowds.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/overlap.hpp"
#include "scheduler/replica_bounds.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/waiting.hpp"
#include "scheduler/wanting.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

namespace consort::core {

namespace {

/// As advance_option, by what was counted before. Counts what it starts: nothing else that it does
/// changes the model's instances, and to count them for each device is quadratic.
bool advance(pass& p, index at, const option& by, replica_counts& seen) {
  auto& s = p.s;
  const auto& pair = s.pairs[pair_of(s, at, by.device)];
  if (by.artifact != none && s.artifacts[by.artifact].copies.empty())
    return ensure_built(p, by.artifact, at, s.devices[by.device].node);
  // What was begun a moment ago for another option may be over this device, too.
  if (pair.load_retry_at > p.now || !pair.fuse.admits() || !may_grow(s.models[at], seen)
      || instance_on(s, at, by.device) != none || !start_instance(p, at, by))
    return false;
  ++seen.kept;
  ++seen.serving;
  ++seen.under_way;
  return true;
}

bool may_leave(const core_state& s, const instance_row& one, index model, bool busy_too) {
  const auto& owner = s.models[one.model];
  return one.model != model && one.state == instance_state::ready && !one.retiring
         && (busy_too || (one.idle() && owner.queue.empty())) && spare(s, one);
}

std::uint64_t share_bytes(const core_state& s, const instance_row& one, const device_id& device) {
  const auto grant = s.allocations.find(one.grant);
  if (grant == s.allocations.end())
    return 0;
  for (const auto& share : grant->second.grant.shares)
    if (share.device == device)
      return share.memory_bytes;
  return 0;
}

/// As may_leave, of what is on a device that keeps out another. It may be the very model's: what
/// its replica there does not serve, since that would not wait, is waited for elsewhere.
bool may_give_way(const core_state& s, const instance_row& one, bool busy_too) {
  return one.state == instance_state::ready && !one.retiring && (busy_too || one.idle())
         && spare(s, one);
}

enum class way { clear, clearing, barred };

/// Unloads whatever keeps the device out because both cannot be in use together, once all of it may
/// leave: one of several would be unloaded in vain.
way clear_the_way(pass& p, index model, const option& by, bool busy_too) {
  auto& s = p.s;
  std::vector<index> leaving;
  const auto holders = holders_of_units(s, by.device);
  for (const auto holder : holders) {
    const auto& there = s.devices[holder];
    if (there.instances.size() < there.allocations) // A build has it.
      return way::barred;
    for (const auto at : there.instances) {
      if (!active(s.instances[at]))
        continue;
      if (!may_give_way(s, s.instances[at], busy_too))
        return way::barred;
      leaving.push_back(at);
    }
  }
  // Each alone leaves its model replicas enough; together they might not.
  std::map<index, std::uint32_t> of_model;
  std::sort(leaving.begin(), leaving.end());
  leaving.erase(std::unique(leaving.begin(), leaving.end()), leaving.end());
  for (const auto at : leaving) {
    const auto& owner = s.models[s.instances[at].model];
    if (!held(s, s.instances[at])
        && count_of(s, owner).kept < owner.spec.replicas_min + ++of_model[s.instances[at].model])
      return way::barred;
  }
  for (const auto at : leaving)
    retire(p, at,
           "makes room for " + s.models[model].spec.name.value + " on "
               + s.devices[by.device].spec.id.value + ", with which it shares units");
  return holders.empty() ? way::clear : way::clearing;
}

enum class room { none, coming, made };

/// Unloads others from the device, least recently used first, when that makes room enough. What is
/// leaving already counts as gone.
room make_room(pass& p, index model, const option& by, bool busy_too) {
  auto& s = p.s;
  if (may_be_told_of(s, by.device)) // It is no lack of room.
    return room::none;
  if (const auto seen = clear_the_way(p, model, by, busy_too); seen != way::clear)
    return seen == way::clearing ? room::made : room::none;
  const auto& device = s.devices[by.device];
  const auto& memory = device.spec.memory_bytes;
  std::vector<std::tuple<time_us, instance_id, index>> order;
  auto used = device.promised_bytes + device.foreign_bytes;
  std::size_t gone = 0;
  for (const auto at : device.instances) {
    const auto& one = s.instances[at];
    gone += active(one) ? 0 : 1;
    if (!active(one))
      used -= share_bytes(s, one, device.spec.id);
    else if (may_leave(s, one, model, busy_too))
      order.emplace_back(one.used_at, one.id, at);
  }
  std::sort(order.begin(), order.end());
  const auto need = by.room_bytes(memory, device.foreign_bytes);
  const auto enough = [&] { return memory != 0 && used + need <= memory; };
  std::vector<index> leaving;
  for (const auto& [used_at, id, at] : order) {
    if (enough())
      break;
    used -= share_bytes(s, s.instances[at], device.spec.id);
    leaving.push_back(at);
  }
  const bool alone = memory == 0 && leaving.size() + gone == device.allocations;
  if (!enough() && !alone)
    return room::none;
  for (const auto at : leaving)
    retire(p, at, "makes room for " + s.models[model].spec.name.value);
  return !leaving.empty() ? room::made : gone > 0 ? room::coming : room::none;
}

/// Of a model that has as many replicas as it may, of which none may serve those: one is begun that
/// may, and the spare one leaves for it: not before what is to be loaded is there, and has room.
bool swap_in(pass& p, index at, const outlook& among, const std::vector<index>& order,
             replica_counts& seen, index leaving) {
  auto& s = p.s;
  for (const auto each : order) {
    const auto& one = among.prospects[each];
    const auto by = s.models[at].options[one.option];
    const auto before = seen.under_way;
    if (!one.free || !advance(p, at, by, seen))
      continue;
    if (seen.under_way != before)
      retire(p, leaving,
             "gives its place to one on " + s.devices[by.device].spec.id.value
                 + ", which may serve who waits");
    return true;
  }
  return false;
}

/// Starts what they need: first what would end all who wait soonest, more while they exceed what is
/// under way. Returns: whether anything serves them or is to.
bool serve_those(pass& p, index at, const wanting& those) {
  auto& s = p.s;
  auto& model = s.models[at];
  const auto waiting = those.waiting;
  const auto serving = serving_sequences(s, model, those);
  if (serving > 0 && waiting * 1000 < serving * limits::scale_up_pm
      && !any_stranded(s, model, those.selector))
    return true;
  auto prospects = outlook_of(s, at, those.selector, p.now);
  const bool stays = remote_barred(s);
  std::erase_if(prospects.prospects, [&](const prospect& one) {
    const auto& by = model.options[one.option];
    return (stays && is_remote(s, by.device))
           || (those.first != none && !may_take_over(s, s.requests[those.first], by));
  });
  std::uint64_t coming = 0;
  auto seen = count_of(s, model);
  const auto order
      = ranked(s, prospects, static_cast<std::int64_t>(std::max<std::uint64_t>(waiting, 1)), p.now);
  for (const auto each : order) {
    const auto& one = prospects.prospects[each];
    const auto by = model.options[one.option];
    if (one.ready_at != 0 || (one.free && advance(p, at, by, seen)))
      coming += std::max(s.devices[by.device].spec.capability.max_sequences, 1U);
    if (coming >= waiting)
      return true;
  }
  if (serving > 0 || coming > 0)
    return true;
  if (const auto leaving = spare_for(s, model, seen, those); leaving != none) {
    --seen.serving;
    if (swap_in(p, at, prospects, order, seen, leaving))
      return true;
  }
  // For who was failed only the idle leave: what failed it may, in time, serve it after all.
  const bool failed = those.first != none && was_failed(s.requests[those.first]);
  const auto oldest = oldest_wait(model, those.selector);
  const bool starves = !failed && p.now - oldest > limits::starvation_us;
  if (!starves && !failed) // Looked at again when it does: whoever is busy must leave then.
    arm(s, oldest + limits::starvation_us + 1, timer_kind::model, at);
  for (const auto each : order) {
    const auto& one = prospects.prospects[each];
    const auto by = model.options[one.option];
    // What is to be built first needs no room yet.
    if (!one.free
        && (one.compiling ? advance(p, at, by, seen)
                          : may_grow(model, seen) && make_room(p, at, by, starves) == room::made))
      return true;
  }
  return false;
}

/// All of them, of whom some were failed. Where nobody else can serve those, what failed them and
/// is gone is loaded again.
void serve_all(pass& p, index at, wanting all, const wanting& failed) {
  if (failed.waiting > 0 && serve_those(p, at, failed))
    all.waiting -= std::min(all.waiting, failed.waiting);
  if (all.waiting > 0)
    serve_those(p, at, all);
}

void serve_waiting(pass& p, index at, index selector) {
  const auto all = who_waits(p.s, p.s.models[at], selector);
  serve_all(p, at, all.others, all.failed);
  for (const auto& those : all.apart)
    serve_all(p, at, those.all, those.failed);
  if (all.streams.waiting > 0)
    serve_those(p, at, all.streams);
}

/// A node that was lost several times lately rests, but not while somebody waits whom nobody else
/// serves or is about to: then the one that was lost least often takes work at once, one at a time,
/// and with few sequences as whoever returns.
void end_a_rest(pass& p, index at, index selector) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (p.now >= s.rests_until || serving_sequences(s, model, {selector, none, 0}) > 0
      || !outlook_of(s, at, selector, p.now).coming.empty())
    return;
  index best = none;
  const auto order
      = [&](index node) { return std::tuple(s.nodes[node].losses, s.nodes[node].trusted_at); };
  for (const auto& by : model.options) {
    const auto node = s.devices[by.device].node;
    if (by.removed_by == filter_id::passed && s.selectors[selector].matches[by.device] != 0
        && s.devices[by.device].present && may_be_called_back(s, node)
        && (best == none || order(node) < order(best)))
      best = node;
  }
  if (best != none)
    call_back(p, best, model.spec.name.value);
}

/// A faster device that lacks only a load or an artifact gets it while slower ones serve.
void warm_up(pass& p, index at, index selector) {
  auto& s = p.s;
  auto& model = s.models[at];
  const auto size = usual_size(model);
  std::int64_t best = 0;
  for (const auto each : model.instances) {
    const auto& one = s.instances[each];
    if (!active(one) || !s.selectors[selector].matches[one.devices.front()])
      continue;
    const auto service = s.pairs[pair_of(s, at, one.devices.front())].speed.service_ns(size);
    best = best == 0 ? service : std::min(best, service);
  }
  if (best == 0 || outlook_of(s, at, selector, p.now).prospects.empty())
    return;
  const auto prospects = outlook_of(s, at, selector, p.now);
  const bool stays = remote_barred(s);
  auto seen = count_of(s, model);
  for (const auto each : ranked(s, prospects, 1, p.now)) {
    const auto& one = prospects.prospects[each];
    const auto by = model.options[one.option];
    const auto service = s.pairs[pair_of(s, at, by.device)].speed.service_ns(size);
    const bool building = by.artifact != none && s.artifacts[by.artifact].building;
    // Of parts that overlap somebody else may wait for another, for which this one just left.
    if ((s.waiting > 0 && overlaps(s, by.device)) || (stays && is_remote(s, by.device)))
      continue;
    if (!building && one.ready_at == 0 && one.free
        && service / 1000 * 1000 <= best / 1000 * limits::warmup_gain_pm)
      advance(p, at, by, seen);
  }
}

bool misses(const model_state& model, const replica_counts& seen) {
  return seen.kept < model.spec.replicas_min && may_grow(model, seen);
}

/// How many replicas of the model each node has, by row.
std::vector<std::int64_t> replicas_by_node(const core_state& s, const model_state& model) {
  std::vector<std::int64_t> there(s.nodes.end());
  for (const auto at : model.instances) {
    const auto& one = s.instances[at];
    if (active(one) && !one.superseded)
      ++there[s.devices[one.devices.front()].node];
  }
  return there;
}

/// Replicas of one model on one node die together: each that is there makes another there look
/// slower.
std::int64_t spread(std::int64_t there, std::int64_t score) {
  const auto percent = 1000 + std::min<std::int64_t>(there, 64) * limits::spread_pm;
  return score > term_ns_max / percent ? term_ns_max : score * percent / 1000;
}

/// A device that has no replica of the model yet: the lowest score is the best place for one.
struct vacancy {
  std::int64_t score = 0;
  index option = none;
  std::int64_t alone = 0; ///< What its score would be with none on its node.
  /// Heaps have the greatest on top.
  friend bool operator<(const vacancy& a, const vacancy& b) {
    return std::tie(b.score, b.option) < std::tie(a.score, a.option);
  }
};

/// As a heap. Whether there is room is not looked at yet, since few of them are.
std::vector<vacancy> vacancies_of(const core_state& s, index at,
                                  const std::vector<std::int64_t>& replicas) {
  const auto& model = s.models[at];
  std::vector<vacancy> heap;
  for (index each = 0; each < model.options.size(); ++each) {
    const auto& by = model.options[each];
    const auto& there = s.devices[by.device].instances;
    const bool used = std::any_of(there.begin(), there.end(), [&](index one) {
      return s.instances[one].model == at && !s.instances[one].superseded;
    });
    if (by.removed_by != filter_id::passed || used || !takes_work(s, by.device))
      continue;
    const auto pair = model.pairs.find(by.device);
    const auto speed = pair != model.pairs.end() ? s.pairs[pair->second].speed
                                                 : seeded_speed(s.devices[by.device].spec.spec);
    const auto alone = speed.service_ns(usual_size(model));
    heap.push_back({spread(replicas[s.devices[by.device].node], alone), each, alone});
  }
  std::make_heap(heap.begin(), heap.end());
  return heap;
}

/// The best first. Each that starts makes the others of its node look slower, and none faster: what
/// is on top is the best once its score is of now. While other nodes may be about to dial none is
/// the second of its node: the one that comes next may be the better place. Returns: options that
/// lack room, best first; none of them where that is waited for. `waits` says whether one has room
/// and waits for something else.
std::vector<index> keep_where_free(pass& p, index at, replica_counts& seen, bool& waits) {
  auto& s = p.s;
  auto& model = s.models[at];
  const auto missing = [&] { return misses(model, seen); };
  auto replicas = replicas_by_node(s, model);
  auto heap = vacancies_of(s, at, replicas);
  std::vector<index> full;
  while (!heap.empty() && missing()) {
    std::pop_heap(heap.begin(), heap.end());
    auto& top = heap.back();
    const auto by = model.options[top.option];
    const auto node = s.devices[by.device].node;
    if (const auto now = spread(replicas[node], top.alone); now != top.score) {
      top.score = now;
      std::push_heap(heap.begin(), heap.end());
      continue;
    }
    const auto option = top.option;
    heap.pop_back();
    if (ranks_for(s, model, by).empty()) {
      full.push_back(option);
      continue;
    }
    if (replicas[node] > 0 && p.now < s.settling_until) {
      waits = true;
      arm(s, s.settling_until, timer_kind::model, at);
      return {};
    }
    const auto before = seen.kept;
    advance(p, at, by, seen);
    waits = waits || seen.kept == before;
    replicas[node] += seen.kept - before;
  }
  return full;
}

/// Makes room for as many as are missing. Returns: how many have it soon. `waits` as above.
std::uint32_t keep_where_full(pass& p, index at, const std::vector<index>& full,
                              std::uint32_t missing, bool& waits) {
  auto& s = p.s;
  std::uint32_t coming = 0;
  for (const auto each : full) {
    if (coming == missing)
      break;
    const auto by = s.models[at].options[each];
    const auto& pair = s.pairs[pair_of(s, at, by.device)];
    const bool rests = pair.load_retry_at > p.now || !pair.fuse.admits();
    waits = waits || rests;
    // What is to be built first has no use for it yet.
    if (!rests && (by.artifact == none || !s.artifacts[by.artifact].copies.empty())
        && make_room(p, at, by, false) != room::none)
      ++coming;
  }
  return coming;
}

/// Says once that a model has had too few for a while, and nothing is on its way.
void tell_of_lack(pass& p, index at, std::uint32_t kept) {
  auto& model = p.s.models[at];
  if (model.short_since == 0) {
    model.short_since = p.now;
    return arm(p.s, p.now + limits::starvation_us, timer_kind::model, at);
  }
  if (model.short_told || p.now - model.short_since < limits::starvation_us)
    return;
  model.short_told = true;
  p.tell(note::severity::warning, model.spec.name.value,
         std::to_string(kept) + " of at least " + std::to_string(model.spec.replicas_min)
             + " replicas: no other device that may serve it takes work and has room, or can be "
               "given room by unloading what is idle and beyond its own minimum");
}

void keep_replicas(pass& p, index at) {
  auto& model = p.s.models[at];
  auto seen = count_of(p.s, model);
  bool waits = false;
  std::uint32_t coming = 0;
  if (misses(model, seen)) {
    const auto full = keep_where_free(p, at, seen, waits);
    if (misses(model, seen))
      coming = keep_where_full(p, at, full, model.spec.replicas_min - seen.kept, waits);
  }
  if (misses(model, seen) && seen.under_way + coming == 0 && !waits)
    return tell_of_lack(p, at, seen.kept);
  model.short_since = 0;
  model.short_told = model.short_told && misses(model, seen);
}

/// Replicas beyond the maximum came of those that serve again, or of a lower one that was declared.
void shed_surplus(pass& p, index at) {
  auto& model = p.s.models[at];
  for (auto one = surplus_of(p.s, model); one != none; one = surplus_of(p.s, model))
    retire(p, one, "others serve, as many as there may be");
}

/// Unless it went with a node that may be back in a moment, with all that it holds: nobody waits
/// for it, or it is built for them.
void build_ordered(pass& p, index at) {
  auto& s = p.s;
  // What a build changes may make the options anew.
  for (std::size_t each = 0; each < s.models[at].options.size(); ++each) {
    const auto by = s.models[at].options[each];
    if (by.named == none || !s.artifacts[by.named].ordered || !s.artifacts[by.named].copies.empty())
      continue;
    if (const auto& missed = s.artifacts[by.named]; p.now < missed.missed_until)
      arm(s, missed.missed_until, timer_kind::model, at);
    else
      ensure_built(p, by.named, at, s.devices[by.device].node);
  }
}

/// Distinct selectors of those who wait.
void waiting_selectors(const model_state& model, std::vector<index>& selectors) {
  selectors.clear();
  for (const auto& [key, lane] : model.queue.lanes())
    if (selectors.empty() || selectors.back() != key.selector)
      selectors.push_back(key.selector);
}

void tell_all(pass& p, index at, index selector) {
  std::vector<index> slots;
  for (const auto& [key, lane] : p.s.models[at].queue.lanes())
    if (key.selector == selector)
      for (const auto& [age, who] : lane.by_age)
        slots.push_back(who.slot);
  for (const auto slot : slots)
    tell_waiting(p, slot);
}

/// Those who ask for what not every device answers, all of a lane when it is news to who waits
/// longest there.
void tell_apart(pass& p, index at, index selector) {
  const auto& s = p.s;
  std::vector<index> slots;
  for (const auto& [key, lane] : s.models[at].queue.lanes()) {
    if (key.selector != selector || key.asks == 0)
      continue;
    const auto& first = s.requests[lane.by_age.begin()->second.slot];
    if (first.told == nullptr || std::strcmp(first.told, why_waits(s, first, p.now).state) == 0)
      continue;
    for (const auto& [age, who] : lane.by_age)
      slots.push_back(who.slot);
  }
  for (const auto slot : slots)
    tell_waiting(p, slot);
}

/// Those whom the selector's outlook does not speak for. Requires: it is up to date.
void tell_particular(pass& p, index at, index selector) {
  tell_apart(p, at, selector);
  for (const auto slot : p.s.models[at].again) {
    const auto& r = p.s.requests[slot];
    if (r.selector == selector && particular(p.s, r) && r.told != nullptr
        && std::strcmp(r.told, why_waits(p.s, r, p.now).state) != 0)
      tell_waiting(p, slot);
  }
}

/// Nobody waits for what broke time and again everywhere: they are told, and whoever comes once
/// its devices have rested has it tried again.
void end_hopeless(pass& p, index at, index selector) {
  auto& s = p.s;
  if (outlook_of(s, at, selector, p.now).prospects.empty())
    return;
  const auto again_at = all_rest_until(s, at, selector, p.now);
  if (!again_at)
    return;
  std::vector<index> slots;
  for (const auto& [key, lane] : s.models[at].queue.lanes())
    if (key.selector == selector)
      for (const auto& [age, who] : lane.by_age)
        slots.push_back(who.slot);
  // Its words are the same for all, of a thousand devices as well.
  const auto broken = broken_ending(s, at, selector, *again_at, p.now);
  for (const auto slot : slots)
    end_request(p, slot, has_failed(s.requests[slot]) ? nobody_in_time(s, slot, p.now) : broken);
}

void warm_up_asked(pass& p, index at) {
  auto& asked = p.s.warming;
  asked.clear();
  for (const auto& [selector, seen] : p.s.models[at].outlooks)
    if (seen.asked_at != 0 && p.now - seen.asked_at <= limits::demand_window_us)
      asked.push_back(selector);
  for (const auto selector : asked)
    warm_up(p, at, selector);
}

/// A look at every device of a large cluster is not taken after each of many changes.
bool waited_lately(const core_state& s, const model_state& model) {
  return model.waited_at != 0 && s.now - model.waited_at < pace_of(s);
}
bool looked_lately(const core_state& s, const model_state& model) {
  return s.now - model.placed_at < pace_of(s);
}

} // namespace

bool advance_option(pass& p, index at, const option& by) {
  auto seen = count_of(p.s, p.s.models[at]);
  return advance(p, at, by, seen);
}

/// What those who wait are told: the best that is open, under way, or neither.
void update_outlook(core_state& s, index at, index selector, time_us now) {
  auto& model = s.models[at];
  auto& seen = outlook_of(s, at, selector, now);
  seen.state = "queued";
  seen.eta_at = seen.again_at = 0;
  const bool spent = remote_spent(s);
  if (const auto wait_ns = usable_wait_ns(s, at, selector, now)) {
    seen.reason = "every endpoint that may serve it is busy";
    seen.eta_at = now + *wait_ns / 1000;
    return;
  }
  auto held = held_back(s, at, selector, now);
  if (held.reason.empty())
    held = spent_for(s, at, selector, now);
  if (held.reason.empty())
    held.reason = led_elsewhere(s, at, selector);
  seen.reason = std::move(held.reason);
  seen.eta_at = held.eta_at;
  if (seen.reason.empty())
    seen.reason = s.devices.live() == 0
                      ? "no device is up yet"
                      : "no device that may serve it is up" + unfit_devices(s, at, selector);
  for (const auto each : ranked(s, seen, 1, now)) {
    const auto& one = seen.prospects[each];
    if (one.ready_at == 0 || (spent && is_remote(s, model.options[one.option].device)))
      continue;
    seen.state = one.compiling ? "compiling" : "loading";
    seen.eta_at = eta_known(s, model.options[one.option], now) ? now + setup_left(one, now) : 0;
    seen.reason = std::string(seen.state) + " for "
                  + s.devices[model.options[one.option].device].spec.id.value
                  + fetch_words(s, model.options[one.option])
                  + failed_before(s, at, model.options[one.option]).words;
    return;
  }
  const auto rest = spent ? affordable(s, at, seen.prospects) : std::vector<prospect>();
  const auto& those = spent ? rest : seen.prospects;
  if (those.empty())
    return;
  auto load = held_up_words(s, at, those, now);
  seen.eta_at = load.eta_at; // Of the load, whoever is full meanwhile.
  seen.again_at = next_try_at(s, at, those);
  seen.reason
      = std::move(load.reason) + kept_out_words(s, at, those) + latest_failure(s, at, those);
}

void note_takeover(core_state& s, time_us now) {
  if (s.taking_over_until == 0)
    s.taking_over_until = now + s.config.lease_us;
  if (s.returning_until == 0)
    s.returning_until = now + limits::return_grace_us;
}

void place(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (p.now < s.taking_over_until)
    return arm(s, s.taking_over_until, timer_kind::model, at);
  const bool changed = model.placed_version != s.version;
  const bool world_changed = changed && !looked_lately(s, model);
  if (changed && !world_changed)
    arm(s, model.placed_at + pace_of(s), timer_kind::model, at);
  if (model.removed || (!world_changed && model.queue.empty()))
    return;
  if (world_changed) {
    refresh_options(s, at);
    supersede_engines(p, at);
    roll_out(p, at);
    shed_surplus(p, at);
    keep_replicas(p, at);
    build_ordered(p, at);
    build_newer_engines(p, at);
  }
  if (!world_changed && waited_lately(s, model))
    return arm(s, model.waited_at + pace_of(s), timer_kind::model, at);
  model.waited_at = s.now;
  auto& waiting = s.placing;
  waiting_selectors(model, waiting);
  for (const auto selector : waiting) {
    if (!outlook_of(s, at, selector, p.now).prospects.empty())
      serve_waiting(p, at, selector);
    end_a_rest(p, at, selector);
    end_hopeless(p, at, selector);
  }
  if (world_changed)
    warm_up_asked(p, at);
  for (const auto selector : waiting) {
    auto& seen = model.outlooks[selector];
    if (seen.told_version == s.version)
      continue;
    const auto* before = seen.state;
    update_outlook(s, at, selector, p.now);
    seen.told_version = s.version;
    if (std::strcmp(before, seen.state) != 0)
      tell_all(p, at, selector);
    else
      tell_particular(p, at, selector);
  }
  if (!world_changed)
    return;
  model.placed_version = s.version;
  model.placed_at = s.now;
}

} // namespace consort::core
