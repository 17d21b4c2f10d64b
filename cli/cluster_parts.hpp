// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a server process consists of, by role. Private to cli/cluster*.cpp.

#include "actors/config.hpp"
#include "actors/gateway_link.hpp"
#include "cli/cluster.hpp"
#include "cli/file_watch.hpp"
#include "cli/scheduler_clock.hpp"
#include "cli/simulated_node.hpp"
#include "cli/state_store.hpp"
#include "gateway/data_ports.hpp"
#include "gateway/decision_times.hpp"
#include "gateway/metrics.hpp"
#include "gateway/server.hpp"
#include "links/connector.hpp"
#include "links/credentials.hpp"
#include "links/guard.hpp"
#include "node/agent.hpp"
#include "node/artifact_fetch.hpp"
#include "node/data_port.hpp"
#include "node/file_digest.hpp"
#include "node/weights/weight_reader.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

namespace consort::cli {

/// Members are in order of construction; each uses only those above it.
struct cluster_process::parts {
  explicit parts(process_config wanted);
  ~parts();

  result<done> start_node();
  result<done> describe_models();
  result<done> start_actors();
  result<done> start_links();
  result<done> start_gateway();
  void stop_gateway();
  void settle();

  node::digest_cache& digests();
  result<model_spec> describe(model_spec declared);
  void take_models(const std::vector<model_config>& wanted);
  result<done> restore_declared();
  result<done> keep_declared(const std::vector<model_spec>& all);
  [[nodiscard]] std::vector<gateway::process_figure> link_figures() const;

  result<done> start_scheduler();
  result<done> start_guard();
  result<done> start_connector();
  result<done> start_data_port();
  void start_door();
  /// A joined node says that it goes, waits for what runs here, and says goodbye. Without a link it
  /// returns at once.
  void leave();
  void tell_leaving(bool gone);
  void wait_for_streams();
  void start_gateway_link();
  void link_accepted(const std::shared_ptr<links::link>& link, messages::frame hello);
  void link_up(const std::shared_ptr<links::link>& link);
  /// Takes up revoked.txt of the credentials folder now.
  void apply_revocations();

  process_config config;
  const incarnation life; ///< Of this process.
  scheduler_clock clock;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_work;
  std::vector<std::thread> threads;
  std::vector<model_spec> models;
  std::unique_ptr<node::digest_cache> own_digests; ///< Of a scheduler without an agent.
  std::unique_ptr<node::weight_reader> weights;    ///< Of a scheduler.
  std::shared_ptr<gateway::decision_times> decisions = std::make_shared<gateway::decision_times>();
  std::unique_ptr<state_store> kept_state;   ///< Of a scheduler.
  std::unique_ptr<simulated_node> simulated; ///< Instead of real devices.
  std::unique_ptr<node::agent> agent;
  std::unique_ptr<node::data_port> data_port;
  std::unique_ptr<node::artifact_fetcher> fetcher;
  std::unique_ptr<gateway::data_ports> data_ports;
  actors::system_config actor_config;
  std::unique_ptr<caf::actor_system> actor_system;
  caf::actor scheduler; ///< The scheduler itself, or the uplink to it.
  caf::actor door;
  std::unique_ptr<actors::gateway_link> link;
  std::unique_ptr<links::guard> guard;         ///< Of a scheduler that listens.
  std::unique_ptr<links::connector> connector; ///< Of a process that joins.
  std::unique_ptr<file_watch> revocations;     ///< With certificates only.
  std::atomic<std::uint64_t> links_made{0};
  std::atomic<bool> hurried{false};        ///< A second signal came.
  std::mutex taking_models;                ///< Over `config.cluster.models`.
  std::mutex naming;                       ///< Over the two below; never held for long.
  std::set<std::string> configured;        ///< Names of the configuration's models.
  std::set<std::string> taken_out;         ///< Of these, by hand: a reload declares them again.
  std::unique_ptr<gateway::server> server; ///< HTTP, where there is a gateway.
};

} // namespace consort::cli
