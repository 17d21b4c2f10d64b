// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The scheduler: a pure state machine. One owner feeds it events and carries out its commands; it
/// has no clock, thread, socket, log or random device, so production, simulation, replay and
/// fuzzing run the same object to the same decisions. Single-threaded. Every accepted request ends
/// in exactly one `record_request`; every reservation is released once.

#include "scheduler/command.hpp"
#include "scheduler/event.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/policy/profile.hpp"
#include "scheduler/view.hpp"

#include <array>
#include <memory>
#include <string_view>

namespace consort::core {

/// What requests of one class are promised. A first token within ttft + ttft_per_1000 for each
/// 1,000 prompt tokens that were not cached, counted from submission; then a gap of itl.
struct slo_target {
  duration_us ttft_us = 500'000;
  duration_us ttft_per_1000_us = 200'000;
  duration_us itl_us = 50'000;
  friend bool operator==(const slo_target&, const slo_target&) = default;
};
/// By priority_class.
using slo_targets = std::array<slo_target, 3>;

/// What an operator stopped. Outlives scheduler lives: whoever owns the core keeps it.
struct hold {
  bool draining = false, cordoned = false;
  std::string reason;
  duration_us move_after_us = 0; ///< Left of a drain's deadline; 0 = none.
  std::string identity = {};     ///< Of a device: its uuid; empty = a node, or not known.
  friend bool operator==(const hold&, const hold&) = default;
};
/// By node or device id.
using hold_map = std::map<std::string, hold>;

/// When work goes to REMOTE devices: as the policy scores them; only what none of the cluster's own
/// can start, requests with a deadline apart; never. Labels go before all of these.
enum class remote_use : std::uint8_t { free, overflow, never };

/// Settings fixed for the core's life. Durations in microseconds.
struct core_config {
  std::string cluster = "default";
  std::uint64_t seed = 1;               ///< Of the one pseudo-random generator (exploration).
  policy_name policy{"latency"};        ///< Of requests whose tenant and model have none.
  std::vector<profile_config> profiles; ///< Beside the built-in ones; bad ones are left out.
  std::map<tenant_id, policy_name> tenant_policy; ///< Before the model's.
  slo_targets slo{slo_target{}, slo_target{}, {60'000'000, 1'000'000, 1'000'000}};
  pool_map pools; ///< Each parses: selector::parse(text, pools).
  std::uint32_t queue_max = limits::queue_max;
  duration_us lease_us = limits::lease_us;
  duration_us queue_timeout_us = limits::queue_timeout_us;
  std::uint32_t attempts_max = limits::attempts_max;
  std::uint32_t explore_pm = 10;  ///< Per mille of decisions that try an under-measured device.
  std::uint64_t numbers_from = 0; ///< Ids and epochs count from here. A scheduler that takes the
                                  ///< place of another passes more than that one can have reached,
                                  ///< e.g. the time of day in microseconds.
  remote_use remote = remote_use::free;
  std::uint64_t remote_budget_micros_per_hour
      = 0; ///< By time and price; used up: barred until it comes back. 0 = unbounded.
  std::uint64_t remote_spent_micros = 0; ///< Of it, by an earlier life: remote_spent_to_keep().
  duration_us remote_spent_age_us = 0;   ///< So long before this life that was said.
  /// So long after the first node a second replica of a minimum waits for another node than one
  /// that has one; 0 = it does not, since all nodes are there at once, as simulated ones are.
  duration_us minima_settle_us = 0;
  hold_map holds; ///< Of an earlier life; apply once their target is seen.
  std::map<std::string, std::uint32_t>
      tenant_weights; ///< Shares of contended models; who is not listed has weight 1.
  std::size_t explained_max = limits::explain_requests_max; ///< Requests whose decisions are kept
                                                            ///< to be explained; 0 = none.
};

class core {
public:
  explicit core(core_config config);
  ~core();
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  /// Applies `happened` at `now` and appends what must be done to `out`, in order.
  /// Requires: `now` never decreases between calls.
  void step(const event& happened, time_us now, std::vector<command>& out);

  /// When the core next wants a `tick` if nothing else happens; nullopt = never.
  [[nodiscard]] std::optional<time_us> next_deadline() const;

  /// Everything an operator sees, as of `now`.
  [[nodiscard]] snapshot view(time_us now) const;

  /// As much of it as fits `bytes_max` on the wire, from `from` on; at least one row.
  [[nodiscard]] snapshot_page view_page(const view_cursor& from, std::size_t bytes_max,
                                        time_us now) const;

  /// The live requests that are wished for, `requests_total` of them in all, as many as `bytes_max`
  /// holds; `next` says that there are more. The other lists are empty.
  [[nodiscard]] snapshot_page requests(const requests_wish& wish, std::size_t bytes_max,
                                       time_us now) const;

  /// Why this device, or why it waits. `external_id` as the client saw it; the latest request of
  /// that id.
  [[nodiscard]] std::optional<explanation> explain(std::string_view external_id, time_us now) const;

  /// What would be decided about this request now, which is not run. Nothing that later decisions
  /// depend on changes. Returns: its one decision, or why it would be turned away at the door.
  [[nodiscard]] result<explanation> explain(const request_meta& meta, time_us now);

  /// What would be done next, without doing it: each step is a decision whose outcome is the action
  /// (`load`, `build`, `fetch`, `unload`, `serve`, `stop`, `wait`, `refuse`), whose winner is
  /// where. Works on a copy of the state. Fails when nobody has the name that is to be drained.
  [[nodiscard]] result<explanation> plan(const plan_wish& wish, time_us now) const;

  /// What operators stopped, as of `now`, and a number that changes with it: to be kept for the
  /// next scheduler life.
  [[nodiscard]] hold_map holds(time_us now) const;
  [[nodiscard]] std::uint64_t holds_version() const;

  /// What the next life is to count as spent of the budget for REMOTE devices, as of the last step,
  /// in micros; nullopt while what was returned last still does. A little more than is spent, so
  /// that it need not be kept for every request; never less.
  [[nodiscard]] std::optional<std::uint64_t> remote_spent_to_keep();

  /// A number over the whole state: equal states of equal history give equal digests on every
  /// platform.
  [[nodiscard]] std::uint64_t digest() const;

  /// Recomputes derived state and compares. Returns: the first violation in words, or nothing.
  [[nodiscard]] std::optional<std::string> check_invariants() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace consort::core
