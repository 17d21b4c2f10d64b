// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Faults as data: what a scenario file may break, when, where and for how long. Read by
/// fault_parser, carried out by fault_injector. A parsed fault is consistent: every target exists,
/// every number is within scenarios/limits.hpp. Plain values.

#include "scheduler/ids.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

enum class fault_kind : std::uint8_t {
  kill,      ///< A node's process dies; it returns, with its store, after `span_us` if that is set.
  pause,     ///< A node's process stands still, as by SIGSTOP.
  partition, ///< Nodes are cut off from everyone, or hear nothing, or are not heard.
  slow,      ///< A device runs slower by `factor`, and does not say so.
  forget,    ///< The gateway drops a request: a bug that the checkers must find.
  cut,       ///< The link of a node, or of the gateway, to the scheduler breaks; streams go on.
  scheduler, ///< The scheduler dies, and another takes its place after `span_us`.
  restart,   ///< A node's process is replaced by a new incarnation at once.
  loss,      ///< A `share` of the frames of a link is lost and sent again, as TCP does.
  duplicate, ///< A `share` of the control frames of a link arrives twice.
  reorder,   ///< Connections of a link overtake each other by up to `by_us`.
  skew,      ///< A node's idea of the scheduler's time is off by `by_us`.
  crash,     ///< The runtimes on a device die, and with `span_us` each new one does too.
  oom,       ///< A device's memory is gone: what runs there dies, nothing loads.
  throttle,  ///< A hot device runs slower by `factor` and reports its temperature.
  storm,     ///< A device answers a `share` of its attempts with HTTP `status`, as a remote API.
  compile_fail, ///< A node's compilers fail.
  compile_hang, ///< A node's compilers never finish; the node gives up on them in the end.
  corrupt,      ///< The artifacts in a node's store have rotten; a load or transfer finds out.
  upgrade,      ///< Nodes are drained, stopped and started anew, one after the other.
};

/// What a fault's names stand for.
enum class fault_target : std::uint8_t { node, device, link, nothing };

/// Which frames of a partitioned node are held.
enum class fault_direction : std::uint8_t { both, inbound, outbound };

struct scenario_fault {
  fault_kind kind = fault_kind::kill;
  time_us at = 0;
  std::vector<std::string> targets; ///< Nodes, devices (`edge-0/npu0`), or also `gateway`.
  duration_us span_us = 0;          ///< 0 = until the liveness phase.
  double factor = 1;                ///< Of slow and throttle.
  double share = 1;                 ///< Of loss, duplicate and storm.
  duration_us by_us = 0;            ///< Of reorder; of skew, where negative = behind.
  std::uint32_t status = 429;       ///< Of storm.
  fault_direction direction = fault_direction::both; ///< Of partition.
  bool transient = true;                             ///< Of compile_fail: worth another try.
  /// Of its targets, as the file says it: what only other clusters of the same sweep have.
  std::vector<std::string> absent{};
};

/// One row per kind, in its order: the word in scenario files, and what the word's value names.
struct fault_word {
  std::string_view word;
  fault_target target;
};
inline constexpr std::array<fault_word, 20> fault_words{
    {{"kill", fault_target::node},         {"pause", fault_target::node},
     {"partition", fault_target::node},    {"slow", fault_target::device},
     {"forget", fault_target::nothing},    {"cut", fault_target::link},
     {"scheduler", fault_target::nothing}, {"restart", fault_target::node},
     {"loss", fault_target::link},         {"duplicate", fault_target::link},
     {"reorder", fault_target::link},      {"skew", fault_target::node},
     {"crash", fault_target::device},      {"oom", fault_target::device},
     {"throttle", fault_target::device},   {"storm", fault_target::device},
     {"compile_fail", fault_target::node}, {"compile_hang", fault_target::node},
     {"corrupt", fault_target::node},      {"upgrade", fault_target::node}}};

[[nodiscard]] constexpr const fault_word& word_of(fault_kind kind) {
  return fault_words[static_cast<std::size_t>(kind)];
}

} // namespace consort::sim
