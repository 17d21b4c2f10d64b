// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The parts of a rehearsal's cluster that its sources share (cluster.cpp, cluster_faults.cpp).
/// Private to them.

#include "cli/live/cluster.hpp"

namespace consort::live {

/// One process. Destroying it ends it.
struct cluster::process {
  std::string name;
  std::ofstream log;
  bool expected = false; ///< That it ends is no casualty.
  bool ended = false;
  std::unique_ptr<node::child_process> runs; ///< Last: its handlers use the rest.
};

/// A node of the scenario.
struct cluster::member {
  std::string name;
  std::string data_folder; ///< Outlives its processes, as a disk does.
  std::size_t place = 0;   ///< Among the nodes: which network is its own, where there are any.
  std::unique_ptr<relay> link;
  std::unique_ptr<process> runs; ///< Null while it is dead.
};

/// For a while.
task<void> rest(std::chrono::milliseconds span);

} // namespace consort::live
