// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How late this host runs what is due: a timer that looks at the clock all the time of a
/// rehearsal. What two runs differ by less than that is the machine's noise, not theirs. Owned by
/// the rehearsal, on its one thread.

#include "scenarios/sim/span_histogram.hpp"

#include <boost/asio/steady_timer.hpp>

#include <memory>

namespace consort::live {

class lateness {
public:
  /// Begins to look. `io` outlives it.
  explicit lateness(boost::asio::io_context& io);

  /// Nothing before the first look.
  [[nodiscard]] std::optional<duration_us> percentile(std::uint32_t per_mille) const {
    return looked_->late.percentile(per_mille);
  }

private:
  struct state {
    boost::asio::steady_timer timer;
    sim::span_histogram late;
  };
  static void look(const std::shared_ptr<state>& own);

  std::shared_ptr<state> looked_;
};

} // namespace consort::live
