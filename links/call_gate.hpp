// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Between the callbacks of a guard or connector and its stop(): once shut() has returned, nothing
/// that went through the gate is running or will run. Recursive, so that a callback may stop its
/// owner. Private to links/.

#include <mutex>

namespace consort::links {

class call_gate {
public:
  /// Runs `action` unless the gate is shut. Returns: whether it ran.
  template <class Action>
  bool pass(const Action& action) {
    const std::lock_guard lock(mutex_);
    if (!shut_)
      action();
    return !shut_;
  }
  void shut() {
    const std::lock_guard lock(mutex_);
    shut_ = true;
  }
  [[nodiscard]] bool is_shut() {
    const std::lock_guard lock(mutex_);
    return shut_;
  }

private:
  std::recursive_mutex mutex_;
  bool shut_ = false;
};

} // namespace consort::links
