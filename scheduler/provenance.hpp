// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who built what a node has under a key. A node that went back to an older engine tells of that
/// one under the keys of newer compilers, too, with the newest of each as `own`: what serves there
/// and what its key says are two things then. A rollback is its node's: others copy the newest.

#include "scheduler/modules.hpp"

#include <string>

namespace consort::core {

/// The newest of its key on its node, whatever serves there.
[[nodiscard]] const digest& newest_of(const artifact_record& record);
/// Its size, bytes.
[[nodiscard]] std::uint64_t newest_bytes(const artifact_record& record);
/// The profile by which that content was built, of `entry`'s own and those that differ from it in
/// the compiler's version; `entry`'s own where nobody knows. Valid as long as `s` does not change.
[[nodiscard]] const build_profile& maker_of(const core_state& s, const artifact_entry& entry,
                                            const digest& content);
/// `refnpu-cc 1.2`: by whom the node's copy of it was built.
[[nodiscard]] std::string maker_on(const core_state& s, const artifact_entry& entry, index node);

} // namespace consort::core
