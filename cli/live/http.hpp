// SPDX-License-Identifier: Apache-2.0
#pragma once
/// HTTP to servers on this host for coroutines of the rehearsal's one thread: whole answers for
/// admin calls. Every wait has a timeout; errors are values.

#include "scheduler/result.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace consort::live {

template <class T>
using task = boost::asio::awaitable<T>;

/// A port of this host.
using port_number = std::uint16_t;

struct whole_answer {
  unsigned status = 0;
  std::string body;
};

/// One request and its answer. Errors: `unreachable`.
[[nodiscard]] task<result<whole_answer>> ask(port_number port, std::string method, std::string path,
                                             std::string body = {});

} // namespace consort::live
