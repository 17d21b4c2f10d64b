// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What happened when: load and power of the busiest devices in equal slices of the run, what
/// loaded, compiled, served and failed where, and every event an operator would want to know.
/// Recorded only when a report is wanted. Bounded by limits::timeline_*; what is left off is
/// counted. Single-threaded.

#include "scenarios/sim/device_meter.hpp"
#include "scenarios/sim/observer.hpp"

#include <map>

namespace consort::sim {

/// One device over the run; a value per slice.
struct device_course {
  std::string device;
  std::string type;
  std::vector<double> running; ///< Attempts inside it, mean over the slice.
  std::vector<double> power_w; ///< Likewise.
};

/// Something that took time: a bar of the Gantt chart.
struct course_span {
  std::string lane; ///< Device, node, or `scheduler`.
  std::string kind; ///< `load`, `compile`, `serve`, `fault`.
  std::string text; ///< Model, or the fault's word.
  time_us from = 0;
  std::optional<time_us> to;
  bool failed = false;
};

struct course_event {
  time_us at = 0;
  std::string kind;
  std::string subject;
  std::string text;
};

struct timeline {
  duration_us slice_us = 1;
  std::vector<std::uint32_t> arrivals; ///< Per slice.
  std::vector<std::uint32_t> waiting;  ///< Most at once.
  std::vector<std::uint32_t> tokens;
  std::vector<double> power_w;        ///< Of all devices, mean over the slice.
  std::vector<device_course> devices; ///< The busiest first.
  std::uint64_t devices_seen = 0;     ///< That reported.
  std::vector<course_span> spans;
  std::vector<course_event> events;
  std::uint64_t left_off = 0; ///< Spans and events beyond the limits.
};

class timeline_recorder : public observer {
public:
  /// Slices cover `length_us`, the last of them perhaps a little more; what comes later is in none.
  /// Writes into `course`, which outlives it.
  timeline_recorder(timeline& course, duration_us length_us);

  void on_submitted(const request_meta& meta, time_us now) override;
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_ticket_honoured(const ticket& permission, const ticket_reception& how,
                          time_us now) override;
  void on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                 time_us now) override;
  void on_drawn(const attempt_id& attempt, std::optional<std::uint64_t> energy_mj,
                time_us now) override;
  void on_answered(const client_answer& ended, time_us now) override;
  void on_fault(std::string_view word, const std::string& target, bool begins,
                time_us now) override;
  void on_end(const core::snapshot& seen, time_us now) override;

private:
  [[nodiscard]] std::optional<std::size_t> slice(time_us now) const;
  void note(time_us now, std::string kind, std::string subject, std::string text);
  void begin(const std::string& key, course_span made);
  void end(const std::string& key, time_us now, bool failed);
  void lose_node(const node_id& node, time_us now);

  timeline& course_;
  device_meter meter_;
  std::map<std::string, std::size_t> open_;    ///< Spans under way, by key.
  std::map<instance_id, course_span> serving_; ///< What to show once it is loaded.
  std::map<request_id, bool> waiting_;         ///< Live requests; true = without a ticket.
  std::uint32_t waiting_count_ = 0;
};

} // namespace consort::sim
