// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether other processes are still there, for tests that nothing is left running.

#include "tests/unit/node/temp_folder.hpp"

#include <chrono>
#include <string>
#include <thread>

namespace consort::node::test {

/// Whether the process is there and not a zombie.
inline bool alive(const std::string& pid) {
  const auto stat = read_file("/proc/" + pid + "/stat");
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.substr(name_end + 2, 1) != "Z";
}

/// Waits for a process that was already killed: it may still be on its way out.
inline bool gone_soon(const std::string& pid) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (alive(pid) && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  return !alive(pid);
}

} // namespace consort::node::test
