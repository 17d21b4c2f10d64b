// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What nobody can beat on these engines, and the best that was found in hindsight. Policies are
/// judged against both: reached is what keeps its distance to a bound, missed what does not keep it
/// to something that was really played; in between it is open.

#include "tests/quality/policy_world.hpp"

namespace consort::quality {

/// Joules below which no schedule of the requests from number `skip` on stays that keeps each one's
/// promise (time to the first token, mean gap), with all of them known ahead, requests divided
/// between engines at will, engines asleep whenever they do nothing, and awake at once. A lower
/// bound of the optimum, not the optimum: it is stricter.
///
/// A step of engine d takes at least F(l) + l c n + kv + attention for each l in 0..1, with
/// F(l) = overhead + (1 - l) weights, n tokens, c arithmetic of one. F is paid once for at most one
/// piece of a prompt and at most b_i = min(sequences of d, requests whose promised spans meet that
/// of i) answers, so request i of p prompt and o output tokens needs, for each a in 0..1, at least
///   t_id = F (a (o - 1) / b_i + (1 - a) pieces) + l c (p + o - 1) + kv + attention
/// and for each m_d >= 0 (the price of an engine's time), T being the span of the whole,
///   joules >= sum_d (sleep_d - m_d) T + sum_i min_d (tdp_d - sleep_d + m_d) t_id,
/// with d over the engines that could keep i's promise alone. l, a and m_d are searched on a grid;
/// any choice of them is a valid bound.
[[nodiscard]] double joules_floor(const std::vector<chip>& fleet,
                                  const std::vector<arrival>& arrivals, std::size_t skip,
                                  double span_s);

/// The least joules found among rules of the form "the first engine in this order with fewer than
/// its own number of requests", played on the same engines, every order, numbers by descent; of
/// those that keep at least `slo_share`. No joules when none does.
[[nodiscard]] figures best_found(const std::vector<chip>& fleet,
                                 const std::vector<arrival>& arrivals, std::size_t skip,
                                 double slo_share);

/// Seconds until the last of `each` requests like `one` and as many like `other` has ended, by the
/// best static assignment: every split of both between the engines in `grains` parts is tried.
/// Requires: `each` is a multiple of `grains`.
[[nodiscard]] double best_static_s(const std::vector<chip>& fleet, const arrival& one,
                                   const arrival& other, std::size_t each, std::size_t grains);

/// The share of prompt tokens that one cache with the blocks of all engines would serve, with
/// every later request known: what is needed last leaves first, or is not kept at all (Belady).
/// No caches that are apart, and no order of decisions, have more.
[[nodiscard]] double pooled_cache_bound(const std::vector<chip>& fleet,
                                        const std::vector<arrival>& arrivals, std::size_t skip);

/// A router that sees every cache as it is: the engine that holds most of the prompt, among equals
/// the emptiest.
[[nodiscard]] std::size_t most_cached(const std::vector<engine>& engines, const arrival& work);

} // namespace consort::quality
