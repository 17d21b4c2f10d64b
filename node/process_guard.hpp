// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The process between us and a tool. It is the tool's parent and adopts whatever the tool leaves
/// behind, in whichever session: so it can end all of it, on a word from us or when our end of the
/// lifeline closes, which the kernel does whatever we die of. It keeps the number of the tool, and
/// of the group that the tool leads, until the group is ended: a signal never hits a stranger.
///
/// Runs in a forked child of a process with threads: only async-signal-safe calls, no allocation.
/// Internal to process_group.cpp.

#include <sys/types.h>

namespace consort::node {

/// From us to the guard, one packet each; nothing of it once the tool was reaped.
struct guard_order {
  int signal = 0;     ///< SIGKILL to the group ends adopted processes too.
  bool alone = false; ///< To the tool and not its group.
};

/// What a guard is to do. The guard answers with packets of one int: the tool's process number once
/// it runs, and its wait status once it ended.
struct guard_duty {
  int lifeline = -1;           ///< Its end of a SOCK_SEQPACKET pair.
  bool leaves_daemons = false; ///< What has left the tool's group is not its concern.
  /// Becomes the tool, in a child of the guard; does not return.
  void (*become_tool)(const void* plan, pid_t guard) = nullptr;
  const void* plan = nullptr;
};

/// Requires: every signal is blocked.
[[noreturn]] void run_guard(const guard_duty& duty);

} // namespace consort::node
