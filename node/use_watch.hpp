// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether a device does the work that its engines say they do. An engine that cannot use its
/// device (a driver too old, a back-end that found none) may compute on the host without a word:
/// then tokens come while utilization stays at zero and power at its least. One per device; owned
/// by its actor; single-threaded; reads no clock.
///
/// Judges only where utilization can be read, and only after limits::unused_readings readings in a
/// row over limits::unused_us at least, in each of which more tokens had come and more were due: a
/// device that is read between two short requests does rest.

#include "node/runtime.hpp"

namespace consort::node {

class use_watch {
public:
  /// A fresh reading, and what the engines had done by then. Returns: whether they are found out;
  /// then it begins anew.
  [[nodiscard]] bool look(time_us now, const engine_counters& engines, const device_reading& read);
  /// Per mille of its time that the device worked while it was watched, at most.
  [[nodiscard]] static std::uint32_t idle_pm_max();

private:
  [[nodiscard]] bool works(const device_reading& read) const;

  std::optional<time_us> since_; ///< First of the readings in a row.
  std::uint32_t readings_ = 0;
  std::uint64_t tokens_ = 0;                    ///< At the last one.
  std::optional<std::uint64_t> power_least_mw_; ///< Ever.
};

} // namespace consort::node
