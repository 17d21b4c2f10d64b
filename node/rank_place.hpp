// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where one node's part of an instance stands: an instance over several devices is one process per
/// node, which gets its own devices, its rank among the nodes, and where the ranks meet. Plain
/// values; made by the device actor from the grant, consumed by the runtimes.

#include "scheduler/result.hpp"
#include "scheduler/types.hpp"

#include <map>
#include <string>
#include <vector>

namespace consort::node {

struct rank_place {
  std::vector<device_spec> devices; ///< This node's, in order of their shares; empty = just one.
  std::uint32_t first = 0;          ///< Of `devices`, among all devices of the instance.
  std::uint32_t degree = 1;         ///< Devices of the instance over all nodes.
  std::uint32_t rank = 0;           ///< Of this node; 0 = it leads, and takes the requests.
  std::uint32_t ranks = 1;          ///< Nodes of the instance.
  std::string master;               ///< `host:port` where ranks meet; empty = all on this node.

  [[nodiscard]] bool leads() const { return rank == 0; }
};

/// The place of a node in a grant. `local` are all devices of the node.
[[nodiscard]] rank_place place_of(const allocation& grant, const std::vector<device_spec>& local,
                                  std::uint32_t rank, std::uint32_t ranks);

/// Uuids of the devices, or the places that their plugin gave them (attribute `index`), with
/// commas. Places that are all numbers ascend, as some runtimes want them (Ascend's); uuids, and
/// places that are something else, are in the order of the grant.
[[nodiscard]] std::string joined_uuids(const std::vector<device_spec>& devices);
[[nodiscard]] std::string joined_indexes(const std::vector<device_spec>& devices);

/// Values of the placeholders {devices} {indexes} {tp} {rank} {ranks} {master} {masterhost}
/// {masterport}. `alone` is the device of an instance that has just one.
[[nodiscard]] std::map<std::string, std::string> rank_values(const rank_place& place,
                                                             const device_spec& alone);

/// An address on this host that is free now: the host of `data_address` (loopback when that is
/// empty) and a port. Failure: `no_port`, retry elsewhere.
[[nodiscard]] result<std::string> rendezvous_address(const std::string& data_address);

} // namespace consort::node
