// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long a request may be where it is sent: engines have contexts of their own, often smaller
/// than the model's, and refuse what exceeds them although others would serve it. Pure functions
/// over the state. Deliberately refuse nothing: admission does, and engines.

#include "scheduler/state.hpp"

#include <limits>

namespace consort::core {

/// Tokens that one request may have there, of a plan at both of its stages; unlimited when unknown.
[[nodiscard]] std::int64_t context_of(const core_state& s, const model_state& model,
                                      const endpoint& at);

/// Whether the smallest context that an engine of the model ever told of is too small for the
/// request, and for the model's own.
[[nodiscard]] bool exceeds_smallest(const model_state& model, const request_row& r);
/// Whether some engine of the model may be too small for the request. Of most models none ever told
/// of a context, and each decision asks several times.
[[nodiscard]] inline bool asks_context(const model_state& model, const request_row& r) {
  return model.context_smallest != std::numeric_limits<std::int64_t>::max()
         && exceeds_smallest(model, r);
}

/// Tokens of context that an endpoint has to have for the request: its prompt, as estimated, and
/// the answer that it asks for. Never more than the model's own context, nor than the largest of
/// those that may serve it have, or may have once they are loaded: what exceeds all of them is for
/// an engine to refuse, in its words.
[[nodiscard]] std::int64_t least_context(const core_state& s, const request_row& r);

/// An engine has so many tokens for one request; 0 = unknown.
inline void note_context(model_state& model, std::uint32_t tokens) {
  if (tokens != 0)
    model.context_smallest = std::min(model.context_smallest, std::int64_t{tokens});
}

} // namespace consort::core
