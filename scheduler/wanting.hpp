// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who waits for a model with one selector, in groups that differ in which devices may serve them,
/// and whether what is loaded serves them. Pure functions of the core's state.

#include "scheduler/state.hpp"

namespace consort::core {

/// Some who wait with one selector. Of those who had an attempt, or ask for what not every device
/// answers, fewer devices may serve some than the selector says: loading others would help nobody,
/// nor does it help them what others serve.
struct wanting {
  index selector = none;
  index first = none; ///< The one that waits longest; none = whoever matches may serve them.
  std::uint64_t waiting = 0;
};

/// Those who ask for the same of what not every device answers (embeddings, chats ...).
struct wanting_apart {
  std::uint32_t asks = 0; ///< Bits of asks.hpp; never 0.
  wanting all, failed;
};

/// All of them. Those who were failed count among the others, or those apart, as well.
struct who_want {
  wanting others, streams, failed;
  std::vector<wanting_apart> apart; ///< In order of what they ask for.
};

[[nodiscard]] who_want who_waits(const core_state& s, const model_state& model, index selector);
/// A device failed it, and does not serve it for a while. Who was only full soon does.
[[nodiscard]] inline bool was_failed(const request_row& r) {
  return r.emitted == 0 && r.excluded.size() > r.shunned.size();
}
/// Sequences of ready endpoints that may serve them.
[[nodiscard]] std::uint64_t serving_sequences(const core_state& s, const model_state& model,
                                              const wanting& those);
/// Whether the replica, which is ready, may serve them at all.
[[nodiscard]] bool may_help(const core_state& s, const model_state& model, const instance_row& one,
                            const wanting& those);
/// Since when the oldest request with the selector waits; 0 = there is none.
[[nodiscard]] time_us oldest_wait(const model_state& model, index selector);
/// Whether one of those who wait longest there has a prompt for which no loaded engine has KV.
[[nodiscard]] bool any_stranded(const core_state& s, const model_state& model, index selector);

} // namespace consort::core
