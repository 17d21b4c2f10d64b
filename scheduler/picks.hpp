// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Filter -> score -> pick over the ready endpoints of a model, for one request by one profile.
/// Endpoints that may not serve it are passed over, the others are scored, and the profile's pick
/// takes one. What was looked at stays in core_state::best, to be explained. Costs what the pick
/// has to look at: O(log n) and the endpoints that nearly win, not all of them; nothing allocates
/// once a profile was used.

#include "scheduler/dispatch.hpp"

#include <limits>

namespace consort::core {

inline constexpr auto worst_score = std::numeric_limits<std::int64_t>::max();

/// What a request needs at once.
struct demand {
  work_size size;
  std::int32_t sequences = 1;
  std::int64_t kv_tokens = 0;
  std::int64_t kv_least = 0; ///< Prompt and one token: with less an engine would stop for ever.
  std::int64_t context = 0;  ///< Prompt and answer: an engine with less context refuses it.
};
[[nodiscard]] demand demand_of(const core_state& s, const request_row& r);

struct pick {
  index place = none;
  std::int64_t score = worst_score;
  std::uint32_t saved = 0; ///< Prompt tokens that its cache probably holds.
  /// Lower score wins; equal ones go to the lower place.
  [[nodiscard]] bool yields_to(index at, std::int64_t offered) const {
    return offered < score || (offered == score && at < place);
  }
  void offer(index at, std::int64_t offered, std::uint32_t tokens) {
    if (yields_to(at, offered))
      *this = {at, offered, tokens};
  }
};

/// Best endpoint that can start it now, and best of those that are full and may be waited for.
struct choice {
  pick start, full;
  promised start_is = promised::nothing; ///< Predicted of the start, by a profile that looks at it.
};

struct question {
  const request_row& r;
  const profile& how;
  demand need;
  const barriers& blocked;
  bool plain = true;         ///< Any open endpoint may serve it.
  duration_us waited_us = 0; ///< Since it was submitted.
  time_us now = 0;
  std::uint32_t optional = 0; ///< Filters that its profile adds, by bit, as far as they hold now.
};
/// `blocked` must outlive what is returned.
[[nodiscard]] question question_of(const core_state& s, const request_row& r,
                                   const barriers& blocked);

[[nodiscard]] choice choose(core_state& s, model_state& model, const question& asked);
/// The same, and what picks remember stays as it was: for a request that is not run, or is decided.
[[nodiscard]] choice choose_dry(core_state& s, model_state& model, const question& asked);
/// Weighs all anew, to be explained, of whom that one was chosen whatever it scores.
void weigh_chosen(core_state& s, model_state& model, const question& asked, index place);

/// Whether the endpoint can start it now.
[[nodiscard]] bool startable(const endpoint_room& one, const demand& need);
/// Whether the endpoint is open to it, whatever runs there now; the profile's own filters included.
[[nodiscard]] bool admits(const core_state& s, const model_state& model, const question& asked,
                          index place);
/// The same of an open endpoint that has room now, is kept for nobody who starves, and may be sent
/// a prompt by the request's profile.
[[nodiscard]] bool may_begin(const core_state& s, const model_state& model, const question& asked,
                             index place);

/// What the optional filters ask of an endpoint.
[[nodiscard]] candidate_facts optional_facts(const core_state& s, const model_state& model,
                                             index place);

/// What may be predicted for a request of its class: its first token and the gap between tokens.
struct slo_bounds {
  std::int64_t ttft_ns = 0, itl_ns = 0;
};
/// `late`: by choice.
[[nodiscard]] slo_bounds slo_of(const core_state& s, const model_state& model,
                                const question& asked, std::uint32_t saved, bool late = false);

} // namespace consort::core
