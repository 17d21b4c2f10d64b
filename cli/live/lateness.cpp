// SPDX-License-Identifier: Apache-2.0
#include "cli/live/lateness.hpp"

#include "cli/live/limits.hpp"

#include <algorithm>

namespace consort::live {

lateness::lateness(boost::asio::io_context& io)
    : looked_(std::make_shared<state>(state{boost::asio::steady_timer(io), {}})) {
  looked_->timer.expires_after(limits::late_look);
  look(looked_);
}

void lateness::look(const std::shared_ptr<state>& own) {
  // What is due already when the timer goes is called all the same, and without an error.
  own->timer.async_wait([held = std::weak_ptr(own)](const boost::system::error_code& failed) {
    const auto looked = held.lock();
    if (failed || !looked)
      return;
    const auto now = boost::asio::steady_timer::clock_type::now();
    const auto late
        = std::chrono::duration_cast<std::chrono::microseconds>(now - looked->timer.expiry())
              .count();
    looked->late.add(std::max<duration_us>(late, 0), 1);
    looked->timer.expires_at(now + limits::late_look);
    look(looked);
  });
}

} // namespace consort::live
