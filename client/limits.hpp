// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of a client of a server, with its unit in its name.

#include <chrono>
#include <cstddef>

namespace consort::transport::limits {

inline constexpr std::size_t response_bytes_max = 64 * 1024 * 1024; ///< One whole HTTP answer.
inline constexpr std::chrono::seconds connect_timeout{5};
inline constexpr std::chrono::milliseconds cancel_look{50}; ///< Between looks whether to stop.

} // namespace consort::transport::limits
