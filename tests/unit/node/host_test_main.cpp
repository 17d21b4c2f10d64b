// SPDX-License-Identifier: Apache-2.0
/// Stands in for `consort host` in the unit tests: the same entry, with bounds from the
/// environment so that tests can reach them.

#include "node/host/host_main.hpp"

#include <cstdlib>
#include <string>

namespace {

std::uint64_t bound(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 6 || std::string(argv[1]) != "host" || std::string(argv[2]) != "--fd"
      || std::string(argv[4]) != "--library")
    return 2;
  consort::node::host_bounds bounds;
  bounds.unsent_bytes_max = bound("TEST_UNSENT_BYTES", bounds.unsent_bytes_max);
  bounds.calls_max = bound("TEST_CALLS", bounds.calls_max);
  bounds.stall_us = static_cast<consort::duration_us>(
      bound("TEST_STALL_US", static_cast<std::uint64_t>(bounds.stall_us)));
  bounds.call_us = static_cast<consort::duration_us>(
      bound("TEST_CALL_US", static_cast<std::uint64_t>(bounds.call_us)));
  return consort::node::host_main(std::atoi(argv[3]), argv[5], bounds);
}
