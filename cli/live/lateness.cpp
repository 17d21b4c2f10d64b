// SPDX-License-Identifier: Apache-2.0
#include "cli/live/lateness.hpp"

#include "cli/live/limits.hpp"

#include <algorithm>

namespace consort::live {

lateness::lateness(boost::asio::io_context& io) : timer_(io) {
  timer_.expires_after(limits::late_look);
  look();
}

void lateness::look() {
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (failed)
      return;
    const auto now = boost::asio::steady_timer::clock_type::now();
    const auto late
        = std::chrono::duration_cast<std::chrono::microseconds>(now - timer_.expiry()).count();
    late_.add(std::max<duration_us>(late, 0), 1);
    timer_.expires_at(now + limits::late_look);
    look();
  });
}

} // namespace consort::live
