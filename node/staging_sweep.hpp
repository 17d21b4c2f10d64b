// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What processes that ended left in a store's staging: `<data>/staging/<pid>`. Others may be at
/// work beside this one, and theirs stays. Best effort; safe from any thread.

#include <sys/types.h>

#include <string>

namespace consort::node {

/// Whether a process of that number runs. One that was killed and that nobody has waited for does
/// not, though its number is still taken.
[[nodiscard]] bool runs(pid_t process);

/// Removes from the folder `staging` what is of no process that runs. `reused` is a process whose
/// own folder goes as well, since it has not begun: a number comes again, in containers soon; 0 =
/// none.
void sweep_staging(const std::string& staging, pid_t reused);

} // namespace consort::node
