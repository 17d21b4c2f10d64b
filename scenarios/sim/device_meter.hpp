// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a report shows of each device: how many attempts were inside it and what it drew, both as
/// means over the slices of a timeline, not as what was so at one moment of each. Attempts count
/// from their honoured ticket until they leave the engine, so that the shortest count for what
/// they took; power is the growth of a device's energy counter over the time since its last report.
///
/// Keeps a course for devices that ever ran something, at most limits::timeline_courses_max, and
/// for the first few anyway; what is shown of them in the end are the busiest. Owned by a
/// timeline_recorder; single-threaded.

#include "scheduler/event.hpp"

#include <map>
#include <string>
#include <vector>

namespace consort::sim {

struct device_course;
struct timeline;

class device_meter {
public:
  /// Writes into `course`, which has its slices and outlives it.
  explicit device_meter(timeline& course) : course_(course) {}

  void advertise(const device_id& device, std::string type);
  void begin(const attempt_id& attempt, const device_id& device, time_us now);
  /// Wherever it is. One that is nowhere is overlooked.
  void end(const attempt_id& attempt, time_us now);
  /// Also brings in line what nobody told: work of a plan's members, work that a fence dropped.
  void see(const core::device_reported& report, time_us now);
  /// Its process ended, and what it ran.
  void lose(const node_id& node, time_us now);
  /// Turns sums into means and keeps the busiest. Call once.
  void finish(time_us now);

private:
  struct known_device {
    std::string type;
    incarnation life;
    std::uint64_t energy_mj = 0; ///< Its counter, as last told.
    time_us met_at = 0;          ///< First report of all.
    time_us window_from = 0;     ///< Of what its last reports told, and until when.
    time_us reported_at = 0;
    double power_w = 0; ///< Mean of that.
    double joules = 0;  ///< Before it had a course.
    bool met = false;
    std::map<attempt_id, time_us> inside; ///< Since when.
    std::optional<std::size_t> place;     ///< Of its course.
  };

  void spread(std::vector<double>& into, time_us from, time_us until, double amount) const;
  [[nodiscard]] double gained(known_device& one, const core::device_reported& report,
                              time_us now) const;
  void reconcile(const std::string& name, known_device& one, const std::vector<attempt_id>& running,
                 time_us now);
  void enter(const std::string& name, known_device& one, const attempt_id& attempt, time_us now);
  void leave(known_device& one, const attempt_id& attempt, time_us now);
  void add_power(known_device& one, time_us from, time_us until, double joules);
  void give_course(const std::string& name, known_device& one);
  void keep_busiest();

  timeline& course_;
  std::map<std::string, known_device> known_;                ///< By id.
  std::map<attempt_id, std::vector<known_device*>> visited_; ///< Where an attempt is.
};

} // namespace consort::sim
