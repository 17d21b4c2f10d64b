// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Endpoints of one model at stable places, and what decisions read of them: figures, room, and per
/// profile in use a score with floors over all. The ledger of outstanding work on each endpoint is
/// ours and is the truth; what engines report only sets the limits. Owned by the model's state.
///
/// Places are given in the order in which endpoints open; a closed one's place is given again, the
/// last freed first. A place that nobody has is closed and matches nothing.

#include "scheduler/limits.hpp"
#include "scheduler/score_view.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

namespace consort::core {

inline constexpr index none = ~index{0};

/// What is looked at once the score is good; derived by endpoint_table::refresh.
struct endpoint_room {
  std::int64_t kv_free = 0;   ///< Tokens; unlimited when unknown or idle.
  std::int64_t kv_all = 0;    ///< Tokens in all; unlimited when unknown.
  std::int32_t seq_free = -1; ///< Backlog included; negative when closed.
  std::uint32_t slots = 1;    ///< Sequences that it really runs together: as many as are declared
                              ///< or found, or as its KV holds of those like the present ones.
  index device = none;
  std::uint32_t samples = 0; ///< Attempts learned from.
  bool reads_enough = false; ///< As many prompts wait to be read there as keep it busy.
};

struct endpoint {
  index instance = none; ///< none = nobody has the place.
  instance_id id;
  std::uint32_t rank = 0;
  index device = none;    ///< The leader.
  index pair = none;      ///< (device, model): speed and breaker.
  std::uint32_t kind = 0; ///< Of the device model, 0 to 31; several may share one.
  std::uint32_t seq_max = 1;
  std::uint32_t seq_used = 0;
  std::uint32_t seq_foreign = 0; ///< Load that is not ours, as its engine counts: see foreign().
  std::uint32_t batch_used = 0;  ///< Of seq_used, by batch work.
  std::uint64_t kv_max = 0;      ///< Tokens; 0 = unknown.
  std::uint64_t kv_used = 0;
  std::uint32_t step_tokens = 0;     ///< Of one engine step; 0 = unknown.
  std::int64_t work_ns = 0;          ///< Predicted work of all outstanding attempts.
  std::int64_t prefill_ahead_ns = 0; ///< Of those without a first token.
  std::int64_t reads_until_ns = 0;   ///< By the clock: when these are predicted to have been read.
  std::uint32_t reading = 0;         ///< How many of them there are.
  time_us read_at = 0;               ///< The latest first token there.
  time_us read_granted_at = 0;       ///< When the attempt that it is of was granted.
  index read_by = none;              ///< Request slot of whose it was, possibly another's since.
  std::uint32_t active_mw = 0;       ///< Of all its devices; see endpoint_figures.
  std::uint32_t price_micros = 0;
  std::uint32_t prompt_pico = 0, output_pico = 0; ///< See endpoint_figures.
  std::uint32_t forgets_pm = 0;                   ///< Likewise; of its instance's cache.
  bool open = false;                              ///< Takes new work.
  bool shut = false;            ///< Its engine's latest report says that it takes nothing.
  bool remote = false;          ///< Reads prompts beside each other, not one after the other.
  bool told = true;             ///< Its engine says how many sequences it takes.
  std::uint32_t grown = 0;      ///< Untold: attempts that ended well in a full window.
  time_us cut_at = 0;           ///< Untold: when its window was last cut.
  std::uint32_t ramp = 0;       ///< While so many of ours run no other begins; 0 = no bound.
  std::int64_t load_us = 0;     ///< Sequences times time, up to load_at.
  std::uint32_t attempts = 0;   ///< Of ours, whatever they ask for.
  std::int64_t attempts_us = 0; ///< These times time, up to load_at.
  time_us load_at = 0;
  duration_us worst_gap_us = 0; ///< Between two reports of one attempt, lately.
  time_us worst_gap_at = 0;
  std::uint32_t seq_staged = 0; ///< Of seq_used, by attempts of plans that this is a stage of.
  // Of a plan, places of the same model: where its prompts are read and its answers are written.
  bool plan = false;
  index reads_at = none, writes_at = none; ///< Both set while the plan is whole.
  std::uint64_t transfer_bytes_per_s = 0;  ///< See stage_plan.
  duration_us transfer_us = 0;
  std::uint32_t kv_bytes_per_token = 0; ///< Of the model's cache, which is what is sent.
  std::uint32_t read_mw = 0, read_price_micros = 0; ///< See endpoint_figures.

  [[nodiscard]] bool whole() const { return reads_at != none && writes_at != none; }
  /// Load that is not ours. An engine that is a stage counts what it does for plans as others', and
  /// what it does for itself is others' to the plan.
  [[nodiscard]] std::uint32_t foreign() const {
    return plan && whole() ? 0 : seq_foreign - std::min(seq_foreign, seq_staged);
  }

  /// Its engine tells nothing of its window, so it is found: one more after as many good ends in a
  /// full window as it has places, half of it when the engine is full or slow.
  void ended_well();
  void overloaded(time_us now);
  /// Begins with a share of its places, so that what waits does not fall upon it at once.
  void start_slowly();
  /// An attempt of so many sequences brought a token: as many more may begin beside it.
  void showed_life(std::uint32_t sequences);

  /// Fades with time, never below the period of reports.
  [[nodiscard]] duration_us worst_gap(time_us now) const;
  void saw_gap(duration_us gap, time_us now);
  /// See endpoint_room.
  [[nodiscard]] std::uint32_t slots() const;
  /// Sequences times time up to `now`: two of these tell the mean batch between.
  [[nodiscard]] std::int64_t load_until(time_us now) const;
  /// The same of our own attempts, among whom a meter is shared.
  [[nodiscard]] std::int64_t attempts_until(time_us now) const;
};

/// The least that somebody would wait at any of some endpoints.
struct wait_floor : room_floor {
  std::int64_t queue_ns = term_ns_max, ready_ns = term_ns_max, behind_ns = term_ns_max;
  void join(const wait_floor& other) {
    room_floor::join(other);
    keep_less(queue_ns, other.queue_ns);
    keep_less(ready_ns, other.ready_ns);
    keep_less(behind_ns, other.behind_ns);
  }
  friend bool operator==(const wait_floor&, const wait_floor&) = default;
  [[nodiscard]] std::int64_t left(std::int64_t now_ns) const {
    return queue_ns + wait_until(ready_ns, behind_ns, now_ns, wait_ns_max);
  }
};

/// What one attempt holds of an endpoint, from its ticket to its end.
struct reservation {
  std::uint32_t sequences = 0; ///< 0 = holds nothing.
  std::uint64_t kv_tokens = 0;
  std::int64_t work_ns = 0;
  std::int64_t prefill_ns = 0; ///< 0 once the first token came.
};

/// What comes to the model of late.
struct model_load {
  std::int64_t per_1000_s = 0; ///< Requests.
  std::int64_t output_tokens = 0;
  std::int64_t prompt_tokens = limits::prompt_guess_tokens;
};

class endpoint_table {
public:
  /// Of the places that changed since floors were made: beyond one in so many all are made anew.
  static constexpr std::size_t remake_share = 8;

  /// One past the highest place ever used.
  [[nodiscard]] std::size_t size() const { return all_.size(); }
  /// Places that somebody has.
  [[nodiscard]] std::size_t used_places() const { return all_.size() - free_.size(); }
  /// Whether nobody has a place.
  [[nodiscard]] bool empty() const { return all_.size() == free_.size(); }
  [[nodiscard]] bool used(index place) const { return all_[place].instance != none; }
  [[nodiscard]] const endpoint& at(index place) const { return all_[place]; }
  [[nodiscard]] endpoint& at(index place) { return all_[place]; }
  [[nodiscard]] const endpoint_figures& pace(index place) const { return figures_[place]; }
  [[nodiscard]] const endpoint_room& room(index place) const { return rooms_[place]; }
  /// Made as they are asked for: most decisions do without.
  [[nodiscard]] const floor_tree<wait_floor>& room_floors();
  /// How long a newcomer would wait at least for an open endpoint, of those whose device has a bit
  /// in `matches`; none open = nothing. Costs O(log n) and those that wait about as short.
  [[nodiscard]] std::optional<std::int64_t> least_wait_ns(std::int64_t now_ns,
                                                          const std::vector<std::uint8_t>& matches);
  /// Of the instance at a place, without touching its row.
  [[nodiscard]] instance_id id_at(index place) const { return ids_[place]; }
  /// Where the prompts and answers of who is sent to a place are worked on: there, or at a plan's
  /// stages.
  [[nodiscard]] index reads_at(index place) const {
    return all_[place].reads_at == none ? place : all_[place].reads_at;
  }
  [[nodiscard]] index writes_at(index place) const {
    return all_[place].writes_at == none ? place : all_[place].writes_at;
  }
  /// Whether any endpoint is a plan.
  [[nodiscard]] bool plans() const { return !plans_.empty(); }
  /// Whether so many more sequences would all run there now, at every stage.
  [[nodiscard]] bool runs_now(index place, std::uint32_t sequences) const;
  /// Of a plan, what is added to the predicted first token by sending the KV cache: each time, and
  /// for each prompt token.
  [[nodiscard]] std::pair<std::uint32_t, std::uint32_t> transfer_ns(index place) const;
  /// The scores by `how`, which has this number in the core's list; made on first use, and put in
  /// order when it is time for it.
  const score_view& scores_by(index number, const profile& how, std::int64_t now_ns);

  /// Returns: its place, closed until refreshed.
  index add(const endpoint& one);
  /// Requires: nothing is reserved there.
  void remove(index place);
  /// Returns: whether the load has changed so much that endpoints are to be refreshed for it, and
  /// some profile in use reads of it.
  bool expect(const model_load& coming);
  /// Recomputes what decisions read, from the endpoint and its learned speed, and likewise for the
  /// plans that it is a stage of.
  void refresh(index place, const speed_estimate& speed);
  /// As refresh of every place in use; the floors are made once. Requires: `speed_of(pair)` is the
  /// learned speed.
  template <class SpeedOf>
  void refresh_all(SpeedOf&& speed_of) {
    for (index place = 0; place < all_.size(); ++place)
      if (used(place))
        derive(place, speed_of(all_[place].pair));
    for (const auto& one : plans_) // What they are made of is there now.
      derive(one.place, one.speed);
    remake_floors();
  }

  // The ledger, at a time: what is ahead of a newcomer gets less as time passes.
  void reserve(index place, const reservation& held, time_us now);
  void release(index place, const reservation& held, time_us now);
  void first_token(index place, reservation& held, time_us now);

private:
  /// What an endpoint is with nobody there, and what that was made of.
  struct idle_figures {
    index pair = none;
    std::uint32_t active_mw = 0, price_micros = 0, loads = 0, prompt_pico = 0, output_pico = 0;
    endpoint_figures figures;
  };

  /// A plan's place, and its own learned speed as of its last refresh.
  struct plan_row {
    index place = none;
    speed_estimate speed;
  };

  struct least_wait {
    std::int64_t now_ns = 0;
    const std::vector<std::uint8_t>& matches;
    std::optional<std::int64_t> found;
  };
  void find_least(index level, index node, least_wait& looking) const;
  bool refresh_idle(index place, const speed_estimate& speed);
  void derive(index place, const speed_estimate& speed);
  void join_stages(index place, const speed_estimate& speed);
  void remember_plan(index place, const speed_estimate& speed);
  void refresh_plans_of(index member);
  void write(index place);
  void lift(index place);
  void remake_floors();

  model_load load_;
  work_size usual_{limits::prompt_guess_tokens, limits::output_guess_tokens}; ///< Of requests.
  std::uint32_t loads_ = 1; ///< Counts changes of it.
  std::vector<endpoint> all_;
  std::vector<plan_row> plans_; ///< Few; in the order in which they came.
  std::vector<index> free_;
  std::vector<endpoint_figures> figures_;
  std::vector<idle_figures> idle_;
  std::vector<endpoint_room> rooms_;
  std::vector<wait_floor> room_row_;
  floor_tree<wait_floor> room_tree_;
  std::vector<index> unlifted_;         ///< Places that its floors do not follow yet, each once.
  std::vector<std::uint8_t> is_lifted_; ///< By place: not among those.
  std::vector<instance_id> ids_;
  std::vector<profile> profiles_; ///< Of the views, in their order.
  std::deque<score_view> views_;  ///< Never moved: picks refer to them.
};

/// Its share of the engine's time for a token, were the load all there: with x = tokens of the load
/// in the time that one takes alone, 1 + x / (1 - x * growth) decode together, at most `slots`.
[[nodiscard]] std::uint32_t shared_token_ns(const speed_estimate& speed, const model_load& load,
                                            std::uint32_t slots);

/// Places beyond the sequences themselves; see limits::endpoint_backlog_pm.
[[nodiscard]] std::uint32_t backlog_of(std::uint32_t sequences);

} // namespace consort::core
