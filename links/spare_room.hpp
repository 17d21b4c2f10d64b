// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What becomes of a buffer's memory between two uses: a pure rule, shared by links and streams. A
/// burst must not leave its memory with thousands of connections that say little.

#include <cstddef>

namespace consort::links {

/// Empties `used` and keeps its memory for the next use, unless that is more than `kept_bytes_max`.
template <class Buffer>
void empty(Buffer& used, std::size_t kept_bytes_max) {
  used.clear();
  if (used.capacity() > kept_bytes_max)
    used.shrink_to_fit();
}

} // namespace consort::links
