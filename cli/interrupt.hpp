// SPDX-License-Identifier: Apache-2.0
#pragma once
/// For commands that run until they are interrupted, such as a watch: SIGINT and SIGTERM are then
/// their way to end well.

#include <csignal>

namespace consort::cli {

/// While one lives, SIGINT and SIGTERM end the process at once with exit code 0; streams should be
/// flushed. Afterwards they do what they did before. One at a time.
class interrupt_ends_well {
public:
  interrupt_ends_well();
  ~interrupt_ends_well();
  interrupt_ends_well(const interrupt_ends_well&) = delete;
  interrupt_ends_well& operator=(const interrupt_ends_well&) = delete;

private:
  struct sigaction interrupt_before_ {};
  struct sigaction termination_before_ {};
};

} // namespace consort::cli
