// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Answers that are sent whole: of one whose device failed in the middle its client saw nothing, so
/// that it may begin anew where nobody goes on with what there is of it. Its earlier tokens are
/// thrown away then; what they cost stays paid, and attempts and credit count as ever. A stream is
/// never begun anew: its client would read it twice.

#include "scheduler/modules.hpp"

namespace consort::core {

/// Whether what there is of its answer (r.emitted) is of no use any more, `how` being the end of
/// its last attempt: nothing was shown, and it cannot be continued at all, or nobody who may serve
/// it would. Where only the device that failed could go on with it, and would be asked again, any
/// other that may begin it is better. Nobody is given up whose node may still come back.
[[nodiscard]] bool begins_anew(const core_state& s, const request_row& r, const failover& how);
/// Throws away what was not shown. Returns: whether there was something to throw away.
bool forget_unshown(request_row& r);
/// Its gateway has so many tokens of it while none of its attempts runs.
void note_text(const core_state& s, request_row& r, std::uint32_t tokens);

} // namespace consort::core
