// SPDX-License-Identifier: Apache-2.0
#include "scheduler/endpoints.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <limits>

namespace consort::core {

std::uint32_t backlog_of(std::uint32_t sequences) {
  return std::max<std::uint32_t>(
      1, static_cast<std::uint32_t>(std::uint64_t{sequences} * limits::endpoint_backlog_pm / 1000));
}

std::uint32_t shared_token_ns(const speed_estimate& speed, const model_load& load,
                              std::uint32_t slots) {
  constexpr std::int64_t whole = 1'000'000;
  constexpr std::int64_t tokens_max = 1'000'000'000; // Per 1,000 seconds.
  const auto most = std::int64_t{16} * std::max(slots, 1U);
  const auto tokens = load.output_tokens > 0 && load.per_1000_s > tokens_max / load.output_tokens
                          ? tokens_max
                          : load.per_1000_s * load.output_tokens;
  const auto alone = tokens * speed.decode_ns / whole;
  const auto left = whole - alone / 1'000 * speed.gain_pm;
  const auto batch16 = left <= 0 ? most : std::min(16 + 16 * alone / left, most);
  const auto gap = std::int64_t{speed.itl_ns(static_cast<std::uint32_t>((batch16 + 8) / 16))};
  return static_cast<std::uint32_t>(std::max<std::int64_t>(gap * 16 / batch16, 1));
}

duration_us endpoint::worst_gap(time_us now) const {
  return std::max(worst_gap_us - (now - worst_gap_at) / limits::worst_gap_decay,
                  limits::report_period_us);
}

void endpoint::ended_well() {
  if (told || seq_used < seq_max || ++grown < seq_max)
    return;
  grown = 0;
  seq_max = std::min(seq_max + 1, limits::endpoint_sequences_max);
}

void endpoint::overloaded(time_us now) {
  if (told || (cut_at != 0 && now - cut_at < limits::window_cut_us))
    return;
  cut_at = now;
  grown = 0;
  seq_max = std::max(std::min(seq_used, seq_max) / 2, 1U);
}

void endpoint::start_slowly() {
  ramp = std::max(seq_max / limits::ramp_share, 1U);
}

void endpoint::showed_life(std::uint32_t sequences) {
  if (ramp == 0)
    return;
  ramp += sequences;
  if (ramp >= seq_max)
    ramp = 0;
}

void endpoint::saw_gap(duration_us gap, time_us now) {
  worst_gap_us = std::min(std::max(gap, worst_gap(now)), limits::stall_max_us);
  worst_gap_at = now;
}

index endpoint_table::add(const endpoint& one) {
  index place = none;
  if (free_.empty()) {
    place = static_cast<index>(all_.size());
    all_.push_back(one);
    figures_.emplace_back().queue_ns = term_ns_max;
    idle_.emplace_back();
    rooms_.emplace_back();
    ids_.push_back(one.id);
    room_row_.emplace_back();
    room_tree_.grow(room_row_);
    is_lifted_.push_back(1);
    unlifted_.reserve(room_row_.capacity());
    for (auto& view : views_)
      view.grow(figures_[place]);
  } else {
    place = free_.back();
    free_.pop_back();
    all_[place] = one;
    ids_[place] = one.id;
  }
  return place;
}

void endpoint_table::remove(index place) {
  assert(used(place) && all_[place].seq_used == 0 && all_[place].kv_used == 0);
  std::erase_if(plans_, [&](const plan_row& one) { return one.place == place; });
  all_[place] = endpoint{};
  figures_[place] = endpoint_figures{};
  figures_[place].queue_ns = term_ns_max;
  idle_[place] = idle_figures{};
  rooms_[place] = endpoint_room{};
  ids_[place] = {};
  write(place);
  lift(place);
  free_.push_back(place);
}

/// Tells views of new figures and room, floors left as they are.
void endpoint_table::write(index place) {
  const auto& room = rooms_[place];
  const bool open = room.seq_free >= 0;
  const auto& figures = figures_[place];
  room_row_[place] = {{room.seq_free > 0 ? room.kv_free : -1, room.seq_free,
                       open ? std::uint32_t{1} << all_[place].kind : 0},
                      figures.queue_ns,
                      figures.ready_ns,
                      figures.behind_ns};
  if (is_lifted_[place] != 0)
    unlifted_.push_back(place);
  is_lifted_[place] = 0;
  for (auto& view : views_)
    view.write(place, figures, room_row_[place], room.reads_enough);
}

/// The views' floors over a place that was written.
void endpoint_table::lift(index place) {
  for (auto& view : views_)
    view.lift(place);
}

void endpoint_table::remake_floors() {
  if (all_.empty())
    return;
  for (auto& view : views_)
    view.remake_floors();
}

const floor_tree<wait_floor>& endpoint_table::room_floors() {
  const bool most = unlifted_.size() * remake_share > all_.size();
  if (most)
    room_tree_.remake(room_row_);
  for (const auto place : unlifted_) {
    is_lifted_[place] = 1;
    if (!most)
      room_tree_.update(place, room_row_);
  }
  unlifted_.clear();
  return room_tree_;
}

const score_view& endpoint_table::scores_by(index number, const profile& how, std::int64_t now_ns) {
  auto known = std::find_if(views_.begin(), views_.end(),
                            [&](const score_view& one) { return one.number() == number; });
  if (known == views_.end()) {
    profiles_.push_back(how);
    known = views_.emplace(views_.end(), number, how);
    for (index place = 0; place < figures_.size(); ++place) {
      known->grow(figures_[place]);
      known->write(place, figures_[place], room_row_[place], rooms_[place].reads_enough);
      known->learned(place, idle_[place].figures);
    }
    known->remake_floors();
  }
  known->tidy(usual_, now_ns);
  return *known;
}

std::optional<std::int64_t>
endpoint_table::least_wait_ns(std::int64_t now_ns, const std::vector<std::uint8_t>& matches) {
  least_wait looking{now_ns, matches, {}};
  if (const auto height = room_floors().height(); height > 0)
    find_least(height, 0, looking);
  return looking.found;
}

/// Under the `node` of a level, of which 0 is the row itself.
void endpoint_table::find_least(index level, index node, least_wait& looking) const {
  const auto& floor = level == 0 ? room_row_[node] : room_tree_.at(level - 1, node);
  const auto bound = floor.left(looking.now_ns);
  if (floor.seq_free < 0 || (looking.found && bound >= *looking.found))
    return;
  if (level == 0) {
    if (looking.matches[rooms_[node].device] == 0)
      return;
    const bool crowded = all_[node].seq_used >= rooms_[node].slots;
    const auto wait = std::min(bound + (crowded ? room_in(figures_[node]) : 0), term_ns_max);
    looking.found = std::min(looking.found.value_or(term_ns_max), wait);
    return;
  }
  const auto count = level == 1 ? static_cast<index>(all_.size()) : room_tree_.width(level - 2);
  const auto first = node * tree_width;
  for (auto at = first; at < std::min(first + tree_width, count); ++at)
    find_least(level - 1, at, looking);
}

bool endpoint_table::expect(const model_load& coming) {
  const auto scored = [](std::int64_t tokens) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(tokens, 1, scored_tokens_max));
  };
  usual_ = {scored(coming.prompt_tokens), scored(coming.output_tokens)};
  const bool read = std::any_of(profiles_.begin(), profiles_.end(), [](const profile& one) {
    return one.weight(scorer_id::energy) != 0;
  });
  const auto apart = [](std::int64_t one, std::int64_t other) {
    return std::abs(one - other) * 1'000 > other * limits::rate_change_pm;
  };
  if (!read
      || (!apart(coming.per_1000_s, load_.per_1000_s)
          && !apart(coming.output_tokens, load_.output_tokens)))
    return false;
  load_ = coming;
  ++loads_;
  return true;
}

namespace {

/// Too near for an endpoint to change its place among its like.
bool about(std::uint32_t now, std::uint32_t known) {
  return std::abs(std::int64_t{now} - known) <= known / score_view::alike_share;
}

} // namespace

/// Returns: whether it changed by so much that it may stand elsewhere.
bool endpoint_table::refresh_idle(index place, const speed_estimate& speed) {
  const auto& one = all_[place];
  auto& idle = idle_[place];
  if (idle.pair == one.pair && idle.active_mw == one.active_mw
      && idle.price_micros == one.price_micros && idle.prompt_pico == one.prompt_pico
      && idle.output_pico == one.output_pico && idle.loads == loads_
      && about(speed.first_ns, idle.figures.first_ns)
      && about(speed.prefill_ns, idle.figures.read_ns)
      && about(speed.decode_ns, idle.figures.itl_ns))
    return false;
  idle = {one.pair, one.active_mw, one.price_micros, loads_, one.prompt_pico, one.output_pico, {}};
  auto& figures = idle.figures;
  figures.first_ns = speed.first_ns_at(1);
  figures.prefill_ns = speed.prefill_ns_at(1);
  figures.itl_ns = speed.itl_ns(1);
  figures.read_ns = speed.prefill_ns;
  figures.shared_ns = shared_token_ns(speed, load_, one.slots());
  figures.active_mw = one.active_mw;
  figures.price_micros = one.price_micros;
  figures.prompt_pico = one.prompt_pico;
  figures.output_pico = one.output_pico;
  return true;
}

void endpoint_table::refresh(index place, const speed_estimate& speed) {
  derive(place, speed);
  lift(place);
  if (!plans_.empty())
    refresh_plans_of(place);
}

void endpoint_table::refresh_plans_of(index member) {
  for (const auto& one : plans_) {
    const auto& plan = all_[one.place];
    if (plan.reads_at != member && plan.writes_at != member)
      continue;
    derive(one.place, one.speed);
    lift(one.place);
  }
}

void endpoint_table::remember_plan(index place, const speed_estimate& speed) {
  const auto known = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const plan_row& one) { return one.place == place; });
  if (known == plans_.end())
    plans_.push_back({place, speed});
  else
    known->speed = speed;
}

namespace {

/// So that nothing below overflows: slower than that is nothing.
constexpr std::int64_t transfer_token_ns_max = 1'000'000'000;
constexpr std::int64_t transfer_ns_max = 4'000'000'000;

std::uint32_t sent_ns(std::uint64_t bytes, std::uint64_t bytes_per_s) {
  constexpr std::uint64_t second_ns = 1'000'000'000;
  return bytes_per_s == 0 ? 0
                          : static_cast<std::uint32_t>(std::min<std::uint64_t>(
                              bytes * second_ns / bytes_per_s, transfer_token_ns_max));
}

std::uint32_t joined(std::int64_t one, std::int64_t other, std::int64_t most) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(one + other, 0, most));
}

} // namespace

/// A plan waits for whichever stage is waited for longest, and has the room of the tightest. How
/// fast it is, it has learned itself, transfer included; until then it is as fast as its stages
/// are, and the transfer is as its configuration says.
void endpoint_table::join_stages(index place, const speed_estimate& speed) {
  const auto& one = all_[place];
  const auto& reads = figures_[one.reads_at];
  const auto& writes = figures_[one.writes_at];
  auto& figures = figures_[place];
  auto& room = rooms_[place];
  figures.full_ns = std::max({figures.full_ns, reads.full_ns, writes.full_ns});
  figures.queue_ns = std::max({figures.queue_ns, reads.queue_ns, writes.queue_ns});
  figures.ready_ns = figures.queue_ns > 0 ? 0 : reads.ready_ns;
  figures.behind_ns = figures.queue_ns > 0 ? 0 : reads.behind_ns;
  figures.batch = writes.batch;
  figures.running = writes.running;
  figures.staged = true;
  figures.read_mw = one.read_mw;
  figures.read_price_micros = one.read_price_micros;
  room.slots = rooms_[one.writes_at].slots;
  if (speed.samples >= limits::explore_samples) {
    figures.first_ns = speed.first_ns_at(reads.batch);
    figures.prefill_ns = speed.prefill_ns_at(reads.batch);
    figures.itl_ns = speed.itl_ns(writes.batch);
    figures.shared_ns = shared_token_ns(speed, load_, room.slots);
    figures.step_ns
        = writes.batch == 1
              ? 0
              : figures.itl_ns - std::min(speed.itl_ns(writes.batch - 1), figures.itl_ns);
  } else {
    const auto token_ns = sent_ns(one.kv_bytes_per_token, one.transfer_bytes_per_s);
    figures.first_ns = joined(reads.first_ns, one.transfer_us * 1000, transfer_ns_max);
    figures.prefill_ns = joined(reads.prefill_ns, token_ns, transfer_token_ns_max);
    figures.itl_ns = writes.itl_ns;
    figures.step_ns = writes.step_ns;
    figures.shared_ns = writes.shared_ns;
  }
  // Of reading itself, without the way of what was read.
  figures.read_ns = reads.read_ns;
  const auto& first = rooms_[one.reads_at];
  const auto& last = rooms_[one.writes_at];
  room.reads_enough = first.reads_enough;
  room.seq_free = std::min({room.seq_free, first.seq_free, last.seq_free});
  room.kv_free = std::min({room.kv_free, first.kv_free, last.kv_free});
  room.kv_all = std::min({room.kv_all, first.kv_all, last.kv_all});
}

std::pair<std::uint32_t, std::uint32_t> endpoint_table::transfer_ns(index place) const {
  if (!all_[place].whole())
    return {0, 0};
  const auto& whole = figures_[place];
  const auto& reads = figures_[all_[place].reads_at];
  return {whole.first_ns - std::min(whole.first_ns, reads.first_ns),
          whole.prefill_ns - std::min(whole.prefill_ns, reads.prefill_ns)};
}

bool endpoint_table::runs_now(index place, std::uint32_t sequences) const {
  const auto fits = [&](index at) {
    return all_[at].seq_used + all_[at].foreign() + sequences <= all_[at].seq_max;
  };
  return fits(place) && fits(reads_at(place)) && fits(writes_at(place));
}

namespace {

/// Prompts are read one after the other: one that comes to more than keeps the engine busy is read
/// no sooner for being there, and nobody else can take it.
bool has_enough_to_read(const endpoint& one, const endpoint_figures& figures) {
  if (one.remote || one.reading < 2)
    return false;
  const std::int64_t step = one.step_tokens == 0 ? limits::step_tokens_guess : one.step_tokens;
  const auto tokens_ns = one.prefill_ahead_ns - std::int64_t{one.reading} * figures.first_ns;
  return tokens_ns >= step * limits::read_ahead_steps * figures.prefill_ns;
}

} // namespace

/// All that follows from an endpoint and its speed, but the floors.
void endpoint_table::derive(index place, const speed_estimate& speed) {
  const auto& one = all_[place];
  auto& figures = figures_[place];
  auto& room = rooms_[place];
  const auto used = one.seq_used + one.foreign();
  const bool full = used >= one.seq_max;
  room.slots = one.slots();
  figures.full_ns = queue_term(one.seq_used > 0, one.work_ns, room.slots);
  figures.queue_ns = !one.open ? term_ns_max : full ? figures.full_ns : 0;
  // With nothing to read it is over, whenever that was: idle ones that are alike shall look it.
  figures.ready_ns = full || one.reading == 0 ? 0 : one.reads_until_ns;
  // All but the one that is read now, each thought as long as the others.
  figures.behind_ns
      = full || one.reading == 0
            ? 0
            : std::clamp<std::int64_t>(one.prefill_ahead_ns / one.reading * (one.reading - 1), 0,
                                       wait_ns_max);
  figures.batch = std::min(used + 1, one.seq_max);
  figures.first_ns = speed.first_ns_at(figures.batch);
  figures.prefill_ns = speed.prefill_ns_at(figures.batch);
  figures.itl_ns = speed.itl_ns(figures.batch);
  figures.read_ns = speed.prefill_ns;
  figures.shared_ns = shared_token_ns(speed, load_, room.slots);
  figures.step_ns
      = figures.batch == 1
            ? 0
            : figures.itl_ns - std::min(speed.itl_ns(figures.batch - 1), figures.itl_ns);
  figures.running = used;
  figures.active_mw = one.active_mw;
  figures.price_micros = one.price_micros;
  figures.prompt_pico = one.prompt_pico;
  figures.output_pico = one.output_pico;
  figures.forgets_pm = one.forgets_pm;
  // An idle endpoint takes any request whose prompt can be held at all: the answer may be shorter
  // than its bound.
  const bool idle = one.seq_used == 0;
  room.kv_free = one.kv_max == 0 || idle ? std::numeric_limits<std::int64_t>::max()
                                         : static_cast<std::int64_t>(one.kv_max)
                                               - static_cast<std::int64_t>(one.kv_used);
  room.kv_all = one.kv_max == 0 ? std::numeric_limits<std::int64_t>::max()
                                : static_cast<std::int64_t>(one.kv_max);
  // Whatever others do there, and however many choices it asks for, one may tell whether there is
  // room: a ramp counts ours, and only those that run.
  const auto left = one.ramp != 0 && one.seq_used >= one.ramp
                        ? 0
                        : std::int64_t{one.seq_max} + backlog_of(one.seq_max) - used;
  room.seq_free = !one.open ? -1
                  : idle    ? std::numeric_limits<std::int32_t>::max()
                            : static_cast<std::int32_t>(std::max<std::int64_t>(left, 0));
  room.device = one.device;
  room.samples = speed.samples;
  room.reads_enough = has_enough_to_read(one, figures);
  if (one.plan) {
    remember_plan(place, speed);
    figures.staged = false;
    if (one.whole())
      join_stages(place, speed);
  }
  write(place);
  if (refresh_idle(place, speed))
    for (auto& view : views_)
      view.learned(place, idle_[place].figures);
}

std::uint32_t endpoint::slots() const {
  if (kv_max == 0 || kv_used == 0 || seq_used == 0)
    return std::max(seq_max, 1U);
  const auto held = kv_max * seq_used / kv_used;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(held, 1, std::max(seq_max, 1U)));
}

std::int64_t endpoint::load_until(time_us now) const {
  return load_us + std::int64_t{std::min(seq_used + foreign(), seq_max)} * (now - load_at);
}

std::int64_t endpoint::attempts_until(time_us now) const {
  return attempts_us + std::int64_t{attempts} * (now - load_at);
}

void endpoint_table::reserve(index place, const reservation& held, time_us now) {
  auto& one = all_[place];
  one.load_us = one.load_until(now);
  one.attempts_us = one.attempts_until(now);
  one.load_at = now;
  ++one.attempts;
  one.seq_used += held.sequences;
  one.kv_used += held.kv_tokens;
  one.work_ns += held.work_ns;
  one.prefill_ahead_ns += held.prefill_ns;
  one.reading += held.prefill_ns != 0 ? 1 : 0;
  one.reads_until_ns = std::max(one.reads_until_ns, now * 1000) + held.prefill_ns;
}

void endpoint_table::release(index place, const reservation& held, time_us now) {
  auto& one = all_[place];
  assert(one.seq_used >= held.sequences && one.kv_used >= held.kv_tokens);
  one.load_us = one.load_until(now);
  one.attempts_us = one.attempts_until(now);
  one.load_at = now;
  --one.attempts;
  one.seq_used -= held.sequences;
  one.kv_used -= held.kv_tokens;
  one.work_ns -= held.work_ns;
  one.prefill_ahead_ns -= held.prefill_ns;
  one.reading -= held.prefill_ns != 0 ? 1 : 0;
  one.reads_until_ns = std::min(one.reads_until_ns, now * 1000 + one.prefill_ahead_ns);
}

void endpoint_table::first_token(index place, reservation& held, time_us now) {
  auto& one = all_[place];
  one.prefill_ahead_ns -= held.prefill_ns;
  one.reading -= held.prefill_ns != 0 ? 1 : 0;
  held.prefill_ns = 0;
  // The engine turns to the next one now, whatever was predicted of this one.
  one.reads_until_ns = now * 1000 + one.prefill_ahead_ns;
  one.showed_life(held.sequences);
}

} // namespace consort::core
