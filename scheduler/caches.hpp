// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What engines' prefix caches hold and forget, as far as it can be told from what was sent to
/// them: by the hashes of prompts (prefix_index), and by who says that it goes on from an earlier
/// turn (session_index). Functions of the core's state. Single-threaded, as the core.

#include "scheduler/modules.hpp"

namespace consort::core {

/// The cache of an attempt's endpoint will hold its prompt, and forget for it what was used longest
/// ago. What nobody holds any more of the prompt counts against who had it last.
void remember_prefix(core_state& s, request_row& r, const endpoint& at);
/// Names what the request's caches are known by: its blocks, and its session. Text that one adapter
/// has read is of no use to another, and a session is nobody's but its tenant's. Requires: `r` has
/// its meta, as it came, and its model.
void name_cached(const model_spec& spec, request_row& r);
/// What the request's session tells of caches; of no place where that is nothing, its last turn is
/// not believed to be there any more, or was doubted.
[[nodiscard]] session_claim claim_of(const core_state& s, const request_row& r);
/// Its attempt was opened at that place: how much of what is thought to be cached there only its
/// session tells of. A prompt that is not hashed is written there all the same. Requires: a
/// session, and the decision just made was about it.
void note_claim(core_state& s, request_row& r, index place);
/// Its attempt ended well, where the next turn of its session may find both prompt and answer.
void remember_turn(core_state& s, const request_row& r, const token_usage& usage);
/// A cache to which nobody is sent since it forgets too much would be thought of so for ever: each
/// call looks at another place. O(1).
void age_next_cache(core_state& s, model_state& model);

} // namespace consort::core
