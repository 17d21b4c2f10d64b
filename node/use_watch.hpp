// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether a device does the work that its engines say they do. An engine that cannot use its
/// device (a driver too old, a back-end that found none) may compute on the host without a word:
/// then tokens come while utilization stays at zero and power at its least. One per device; owned
/// by its actor; single-threaded; reads no clock.
///
/// Judges only after limits::unused_readings readings in a row over limits::unused_us at least, in
/// each of which more tokens had come and more were due: a device that is read between two short
/// requests does rest.
///
/// Where utilization cannot be read, power alone (or the growth of an energy counter) has to prove
/// it, and more is asked for: limits::unused_blind_readings readings over limits::unused_blind_us,
/// each within a tenth of the least power that it was seen to draw at rest. That is known after
/// limits::rest_readings readings without an engine at work, if they were not all alike (a figure
/// that never changes is no measurement) and the least is at most twice what the spec sheet calls
/// idle (or somebody else is at work there, whom nothing tells from us). Without such a figure
/// nothing is said.
///
/// An engine that has opened the device draws power for that alone, as a CUDA context does, and may
/// compute on the host all the same. So utilization of zero is borne out as well by power that is
/// what the same engines drew there when nobody asked them, in the limits::rest_readings latest
/// readings of that kind, utilization at zero in each. Kernels so short that they are rounded away
/// may hide in that power, so that it counts as little as power alone.

#include "node/runtime.hpp"

#include <deque>
#include <set>

namespace consort::node {

class use_watch {
public:
  /// A fresh reading, what the engines had done by then, the device's power at rest by its spec
  /// sheet, in milliwatts, 0 = unknown, and which engines were open. Returns: whether they are
  /// found out; then it begins anew.
  [[nodiscard]] bool look(time_us now, const engine_counters& engines, const device_reading& read,
                          std::uint64_t idle_mw = 0, const std::set<instance_id>& open = {});
  /// Per mille of its time that the device worked while it was watched, at most.
  [[nodiscard]] static std::uint32_t idle_pm_max();

private:
  [[nodiscard]] std::optional<std::uint64_t> power_of(time_us now, const device_reading& read);
  void rests(std::uint64_t power_mw, bool unused);
  [[nodiscard]] bool flat(std::uint64_t power_mw, std::uint64_t idle_mw) const;
  /// How much a reading says that the device does nothing.
  enum class proof : std::uint8_t { none, weak, full };
  [[nodiscard]] proof weigh(const device_reading& read, std::optional<std::uint64_t> power,
                            std::uint64_t idle_mw) const;
  void begin_anew();

  std::optional<time_us> since_; ///< First of the readings in a row.
  std::uint32_t readings_ = 0;
  bool weak_ = false;                                  ///< The proof of one of them at least.
  std::uint64_t tokens_ = 0;                           ///< At the last one.
  std::optional<std::uint64_t> power_least_mw_;        ///< Ever.
  std::uint32_t rest_readings_ = 0;                    ///< Without an engine at work, ever.
  std::uint64_t rest_least_mw_ = 0, rest_most_mw_ = 0; ///< In those.
  std::set<instance_id> open_;                         ///< At the last one.
  std::deque<std::uint64_t> held_mw_; ///< While these did nothing; the latest last.
  std::optional<std::pair<time_us, std::uint64_t>> energy_; ///< The last one's counter, mJ.
};

} // namespace consort::node
