// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Asks for memory that is needed soon, so that several rows come at once instead of one after the
/// other. Changes nothing, whatever it is asked for. Only where rows are in no cache, as on a large
/// cluster.

#include <cstddef>

namespace consort::core {

template <class Row>
void fetch_soon(const Row& row) {
  constexpr std::size_t line = 64;
  for (std::size_t at = 0; at < sizeof(Row); at += line)
    __builtin_prefetch(reinterpret_cast<const char*>(&row) + at, 1);
  // Else GCC takes a function that does nothing but ask for one that has no effect, and leaves out
  // calls of it.
  asm volatile("");
}

} // namespace consort::core
