// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Puts together what the tools of one plugin say about its devices: one round of readings after
/// another, each of one or several answers. Remembers the last busy or idle times, of which
/// utilization is the growth per time that passed, or what is left of it, and under which
/// attributes the probe showed the devices, since not every tool knows their uuids. Owned by one
/// json_plugin. Pure: time comes from outside.
///
/// A board's power and energy, which a tool repeats for each device on it, are split evenly over
/// those devices to the last milliwatt, so that a sum over devices counts every board once.

#include "node/probe_answer.hpp"

#include <set>
#include <utility>

namespace consort::node {

/// What a device's tool called its state where the plugin makes none of the three words of it, so
/// that it is unhealthy; nothing where it does.
[[nodiscard]] std::optional<std::string> unmapped_word(const device_reading& reading);

class device_readings {
public:
  /// What the probe found last; needed by queries with an `id_attribute`.
  void devices(const std::vector<device_spec>& found);
  /// One answer, `now_us` on any steady clock. Rows of unknown devices are left out where
  /// `id_attribute` counts. An unreadable figure stays unknown; an unreadable health is as it was
  /// read last, and healthy before that; it is forgotten of a device that neither the probe found
  /// nor the round names.
  void add(const tool_query& query, const std::vector<answer_row>& rows, duration_us now_us);
  /// A row of this round has no id: whose it is nobody knows, so that of devices that were named in
  /// earlier rounds and are not in this one nothing is known.
  void leave_out(const std::string& why) { left_out_ = why; }
  /// Why the round that was taken last says nothing of a device, in one sentence: the id that
  /// `query` was to find it by, and the ids that the tools named instead.
  [[nodiscard]] std::string unread(const tool_query& query, const device_spec& device) const;
  /// Whether the round that was taken last said how any device is.
  [[nodiscard]] bool health_told() const { return health_told_; }
  /// The round as it is now, keyed by uuid; the next one begins empty.
  [[nodiscard]] std::map<std::string, device_reading> take();

private:
  struct counted_time {
    std::int64_t counted_us = 0;
    duration_us at_us = 0;
    bool grew = false; ///< Ever: one that never does may be no counter.
  };
  [[nodiscard]] std::string uuid_of(const tool_query& query, const answer_row& row) const;
  void read_counter(const std::string& uuid, const answer_row& row, bool idle, duration_us now_us,
                    device_reading& into);

  std::map<std::string, std::map<std::string, std::string>> attributes_; ///< By uuid.
  std::map<std::string, counted_time> times_;                            ///< By uuid.
  std::map<std::string, device_reading> round_;
  std::string left_out_;        ///< Of this round; empty = every row has an id.
  std::set<std::string> named_; ///< Uuids since the latest round without such a row, and in it.
  std::set<std::string> told_;  ///< Uuids whose health was read in this round.
  std::map<std::string, std::pair<device_health, std::string>> health_; ///< And why; by uuid.
  std::map<std::string, std::vector<std::string>> boards_; ///< Uuids on each, of this round.
  std::vector<std::string> rows_; ///< Ids as the tools gave them, of this round or the one before.
  std::size_t rows_more_ = 0;     ///< That are not among them.
  bool health_told_ = false;      ///< Of the round that was taken last.
  bool over_ = false;             ///< The round was taken: the next answer begins another.
};

} // namespace consort::node
