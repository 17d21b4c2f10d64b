// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of a client of a server, with its unit in its name.

#include <chrono>
#include <cstddef>

namespace consort::transport::limits {

inline constexpr std::size_t response_bytes_max = 64 * 1024 * 1024; ///< One whole HTTP answer.
inline constexpr std::chrono::seconds connect_timeout{5};

} // namespace consort::transport::limits
