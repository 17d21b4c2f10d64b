// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/device_meter.hpp"

#include "scenarios/limits.hpp"
#include "scenarios/sim/timeline.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace consort::sim {

namespace {

double busy(const device_course& one) {
  return std::accumulate(one.running.begin(), one.running.end(), 0.0);
}

} // namespace

/// Evenly over the slices that the span touches; what is beyond the last is in none.
void device_meter::spread(std::vector<double>& into, time_us from, time_us until,
                          double amount) const {
  const auto last = static_cast<time_us>(into.size());
  if (until <= from) {
    if (const auto at = from / course_.slice_us; at < last)
      into[static_cast<std::size_t>(at)] += amount;
    return;
  }
  for (auto at = from / course_.slice_us; at < last && at * course_.slice_us < until; ++at) {
    const auto begins = std::max(from, at * course_.slice_us);
    const auto ends = std::min(until, (at + 1) * course_.slice_us);
    into[static_cast<std::size_t>(at)]
        += amount * static_cast<double>(ends - begins) / static_cast<double>(until - from);
  }
}

void device_meter::advertise(const device_id& device, std::string type) {
  known_[device.value].type = std::move(type);
}

void device_meter::begin(const attempt_id& attempt, const device_id& device, time_us now) {
  enter(device.value, known_[device.value], attempt, now);
}

void device_meter::end(const attempt_id& attempt, time_us now) {
  const auto found = visited_.find(attempt);
  if (found == visited_.end())
    return;
  const auto places = std::move(found->second);
  visited_.erase(found);
  for (auto* one : places)
    leave(*one, attempt, now);
}

void device_meter::enter(const std::string& name, known_device& one, const attempt_id& attempt,
                         time_us now) {
  if (!one.inside.emplace(attempt, now).second)
    return;
  visited_[attempt].push_back(&one);
  give_course(name, one);
}

/// Leaves `visited_` alone.
void device_meter::leave(known_device& one, const attempt_id& attempt, time_us now) {
  const auto found = one.inside.find(attempt);
  if (found == one.inside.end())
    return;
  if (one.place)
    spread(course_.devices[*one.place].running, found->second, now,
           static_cast<double>(now - found->second) / 1e6);
  one.inside.erase(found);
}

void device_meter::give_course(const std::string& name, known_device& one) {
  if (one.place || course_.devices.size() >= limits::timeline_courses_max)
    return;
  one.place = course_.devices.size();
  const auto slices = course_.arrivals.size();
  course_.devices.push_back(
      {name, one.type, std::vector<double>(slices), std::vector<double>(slices)});
  // Until now it was idle, hence drew the same all the time.
  if (one.joules > 0)
    spread(course_.devices.back().power_w, one.met_at, one.reported_at, one.joules);
}

void device_meter::add_power(known_device& one, time_us from, time_us until, double joules) {
  spread(course_.power_w, from, until, joules);
  if (one.place)
    spread(course_.devices[*one.place].power_w, from, until, joules);
  else
    one.joules += joules;
}

/// Joules since the last report. A device that does not count its energy drew as it does now.
double device_meter::gained(known_device& one, const core::device_reported& report,
                            time_us now) const {
  const auto& reading = report.reading;
  if (!reading.energy_mj)
    return static_cast<double>(reading.power_mw.value_or(0)) / 1e3
           * static_cast<double>(now - one.reported_at) / 1e6;
  // Not below 0: a report that comes twice may come late.
  const auto before = std::exchange(one.energy_mj, std::max(one.energy_mj, *reading.energy_mj));
  return static_cast<double>(one.energy_mj - before) / 1e3;
}

void device_meter::see(const core::device_reported& report, time_us now) {
  auto& one = known_[report.device.value];
  const bool first = !one.met;
  if (first || one.life != report.life) {
    // A process counts from its beginning, and reports so long after it.
    one.life = report.life;
    one.energy_mj = 0;
    one.reported_at = one.window_from = std::max<time_us>(now - limits::report_every_us, 0);
  }
  if (first) {
    one.met = true;
    one.met_at = one.reported_at;
    ++course_.devices_seen;
    if (course_.devices_seen <= limits::timeline_devices_max)
      give_course(report.device.value, one);
  }
  // Reports that a link held come at once, and are of all that time together.
  if (now - one.reported_at >= limits::report_every_us / 2)
    one.window_from = one.reported_at;
  const auto joules = gained(one, report, now);
  if (now > one.reported_at)
    one.power_w = joules * 1e6 / static_cast<double>(now - one.reported_at);
  one.reported_at = now;
  add_power(one, one.window_from, now, joules);
  reconcile(report.device.value, one, report.running, now);
}

void device_meter::reconcile(const std::string& name, known_device& one,
                             const std::vector<attempt_id>& running, time_us now) {
  for (const auto& attempt : running)
    enter(name, one, attempt, now);
  std::vector<attempt_id> gone;
  for (const auto& [attempt, since] : one.inside)
    // A report takes time to come: what began meanwhile is not in it.
    if (since + limits::report_every_us <= now
        && !std::binary_search(running.begin(), running.end(), attempt))
      gone.push_back(attempt);
  for (const auto& attempt : gone) {
    leave(one, attempt, now);
    if (const auto found = visited_.find(attempt); found != visited_.end()) {
      std::erase(found->second, &one);
      if (found->second.empty())
        visited_.erase(found);
    }
  }
}

void device_meter::lose(const node_id& node, time_us now) {
  const auto begins = node.value + "/";
  for (auto at = known_.lower_bound(begins); at != known_.end() && at->first.starts_with(begins);
       ++at) {
    std::vector<attempt_id> inside;
    for (const auto& [attempt, since] : at->second.inside)
      inside.push_back(attempt);
    for (const auto& attempt : inside)
      end(attempt, now);
  }
}

void device_meter::finish(time_us now) {
  for (auto& [name, one] : known_) {
    for (const auto& [attempt, since] : one.inside)
      if (one.place)
        spread(course_.devices[*one.place].running, since, now,
               static_cast<double>(now - since) / 1e6);
    // What a living device drew since its last report is in none.
    if (one.met && now - one.reported_at <= limits::report_every_us)
      add_power(one, one.reported_at, now,
                one.power_w * static_cast<double>(now - one.reported_at) / 1e6);
  }
  keep_busiest();
  for (std::size_t at = 0; at < course_.power_w.size(); ++at) {
    // The last slice is shorter where the run ended within it.
    const auto from = static_cast<time_us>(at) * course_.slice_us;
    const auto span = std::clamp<duration_us>(now - from, 1, course_.slice_us);
    const auto seconds = static_cast<double>(span) / 1e6;
    course_.power_w[at] /= seconds;
    for (auto& one : course_.devices) {
      one.running[at] /= seconds;
      one.power_w[at] /= seconds;
    }
  }
}

void device_meter::keep_busiest() {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t at = 0; at < course_.devices.size(); ++at)
    order.emplace_back(-busy(course_.devices[at]), at);
  std::sort(order.begin(), order.end()); // Of equals the first to be seen.
  order.resize(std::min(order.size(), limits::timeline_devices_max));
  std::vector<device_course> kept;
  for (const auto& [load, at] : order)
    kept.push_back(std::move(course_.devices[at]));
  course_.devices = std::move(kept);
}

} // namespace consort::sim
