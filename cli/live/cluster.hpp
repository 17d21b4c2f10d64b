// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The processes of a rehearsal: a scheduler, a gateway, and an agent for each node of a scenario,
/// all of this very program, with a relay in every link between them and, where the host lets us,
/// a network for each node whose scenario has partitions. Owned by the rehearsal, on
/// its one thread. Whatever ends the rehearsal, SIGKILL included, ends them too
/// (node/child_process.hpp).

#include "cli/live/networks.hpp"
#include "cli/live/relay.hpp"
#include "node/child_process.hpp"
#include "node/simulated/troubles.hpp"
#include "scenarios/sim/scenario.hpp"

#include <fstream>
#include <map>
#include <optional>

namespace consort::live {

struct cluster_settings {
  const sim::scenario& plan;
  std::string scenario_path;
  std::string folder; ///< Of data, cards, configuration and logs; exists.
  std::string executable;
  std::string policy;
  std::string log_level;
};

/// What a scheduler counted, over its successors too.
struct scheduler_counts {
  std::uint64_t failovers = 0;
  std::uint64_t resumes = 0;
  std::uint64_t builds = 0;
  std::uint64_t loads = 0;
};

class cluster {
public:
  cluster(boost::asio::io_context& io, cluster_settings settings);
  ~cluster();

  /// Starts everything and waits until all are linked. Errors name the process and what it said
  /// last.
  task<result<done>> start();
  /// What carries out partitions, for people: `network namespaces`, or `relays` and why; empty when
  /// the scenario has none. Known once it started.
  [[nodiscard]] const std::string& partitions_by() const { return partitions_by_; }
  /// TERM to all; returns when they have ended, KILL included.
  task<void> stop();

  [[nodiscard]] port_number gateway_port() const { return gateway_port_; }
  /// A process that ended by itself: what it was and said; once.
  [[nodiscard]] std::optional<std::string> casualty() const { return casualty_; }
  task<scheduler_counts> counts();
  /// From the launch of a node's process until it dials: what a node takes that is to be back at a
  /// given moment.
  [[nodiscard]] duration_us startup_us() const { return startup_us_.value_or(0); }

  // --- faults. Names are of the scenario ---
  void kill_node(const std::string& node);
  void start_node(const std::string& node);
  void freeze_node(const std::string& node, bool frozen);
  /// Asks it to end, and waits.
  task<void> end_node(const std::string& node);
  void hold_node(const std::string& node, bool forth, bool back);
  /// Of a node, or `gateway`.
  void cut(const std::string& who, bool broken);
  void trouble(const std::string& node, const node::simulated_troubles& wanted);
  task<void> kill_scheduler();
  task<void> start_scheduler();
  /// `drain` or `undrain`.
  task<void> set_draining(const std::string& node, const std::string& verb);
  /// Attempts that run there, as the scheduler knows. None where it knows of no such node that is
  /// up.
  task<std::optional<std::uint64_t>> running_on(const std::string& node);

private:
  struct process;
  struct member;

  std::unique_ptr<process> launch(const std::string& name, std::vector<std::string> arguments,
                                  std::function<void(std::string_view)> on_line);
  [[nodiscard]] std::vector<std::string> node_arguments(const member& one) const;
  void heard_of_scheduler(std::string_view line);
  void launch_scheduler();
  void make_networks();
  result<done> add_members();
  result<done> write_configuration() const;
  task<result<done>> wait_until(const std::string& what, const std::function<bool()>& so);
  task<result<done>> wait_for_links();
  task<bool> all_linked();
  task<scheduler_counts> read_counts();
  [[nodiscard]] member& member_of(const std::string& node);

  boost::asio::io_context& io_;
  const cluster_settings settings_;
  std::string token_;
  std::unique_ptr<networks> networks_; ///< Null: partitions are held by the relays.
  std::string partitions_by_;
  std::unique_ptr<process> scheduler_;
  std::unique_ptr<process> gateway_;
  std::unique_ptr<relay> gateway_link_;
  std::map<std::string, std::unique_ptr<member>> nodes_;
  port_number scheduler_port_ = 0; ///< HTTP; 0 until it said so.
  port_number link_port_ = 0;      ///< Likewise, links.
  port_number gateway_port_ = 0;
  scheduler_counts earlier_; ///< Of schedulers that are gone.
  std::optional<duration_us> startup_us_;
  std::optional<std::string> casualty_;
};

} // namespace consort::live
