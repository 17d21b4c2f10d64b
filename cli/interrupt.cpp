// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.hpp"

#include "cli/exit_code.hpp"

#include <unistd.h>

namespace consort::cli {

namespace {

/// Only what a signal handler may do.
void end_well(int) {
  ::_exit(static_cast<int>(exit_code::done));
}

} // namespace

interrupt_ends_well::interrupt_ends_well() {
  struct sigaction wanted {};
  wanted.sa_handler = end_well;
  sigemptyset(&wanted.sa_mask);
  ::sigaction(SIGINT, &wanted, &interrupt_before_);
  ::sigaction(SIGTERM, &wanted, &termination_before_);
}

interrupt_ends_well::~interrupt_ends_well() {
  ::sigaction(SIGINT, &interrupt_before_, nullptr);
  ::sigaction(SIGTERM, &termination_before_, nullptr);
}

} // namespace consort::cli
