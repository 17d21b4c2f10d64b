// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Waits for the first bytes of an accepted connection, and under TLS for the whole first record,
/// without taking them: the kernel wakes us when that much is there, and nothing is kept meanwhile.

#include "links/hello_check.hpp"
#include "links/task.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace consort::links {

struct opening {
  boost::system::error_code failed; ///< It ended before that much was there.
  std::optional<error> unlike;      ///< As of judge_opening().
};

/// On the socket's strand; the caller limits it in time by closing the socket.
[[nodiscard]] task<opening> await_opening(boost::asio::ip::tcp::socket& socket, bool tls);

} // namespace consort::links
