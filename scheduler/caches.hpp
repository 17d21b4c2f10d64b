// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What engines' prefix caches hold and forget, as far as it can be told from what was sent to
/// them. Functions of the core's state. Single-threaded, as the core.

#include "scheduler/modules.hpp"

namespace consort::core {

/// The cache of an attempt's endpoint will hold its prompt, and forget for it what was used longest
/// ago. What nobody holds any more of the prompt counts against who had it last.
void remember_prefix(core_state& s, request_row& r, const endpoint& at);
/// A cache to which nobody is sent since it forgets too much would be thought of so for ever: each
/// call looks at another place. O(1).
void age_next_cache(core_state& s, model_state& model);

} // namespace consort::core
