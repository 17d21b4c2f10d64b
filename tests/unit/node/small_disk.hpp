// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A disk that fills in mid-stream, without one: while it lives no file of this process grows
/// beyond so many bytes, and a write beyond that fails. One at a time.

#include <sys/resource.h>

#include <csignal>

namespace consort::node::test {

class small_disk {
public:
  explicit small_disk(rlim_t bytes) : signal_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~small_disk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_);
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;

private:
  void (*signal_)(int);
  rlimit before_{};
};

} // namespace consort::node::test
