// SPDX-License-Identifier: Apache-2.0
#pragma once
/// For loops that a process cannot do without, such as one that accepts: what they throw is a
/// defect and ends the process, which the cluster survives and a supervisor mends. Detached, such a
/// loop would end unheard, and the process look alive and take nobody in.

#include <exception>

namespace consort::links {

/// Says what was thrown in the part of that name, and aborts.
[[noreturn]] void die_of(const char* part, const std::exception_ptr& thrown);

/// How a coroutine may end that is spawned with it: only by returning.
class essential {
public:
  /// `part` must outlive it; it names the loop in the log.
  explicit essential(const char* part) : part_(part) {}
  void operator()(const std::exception_ptr& thrown) const {
    if (thrown)
      die_of(part_, thrown);
  }

private:
  const char* part_;
};

} // namespace consort::links
