// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The simulated scheduler process: the shipped core behind the shipped codec, as the production
/// actor holds it. Frames become events, commands become frames, one tick is armed for the core's
/// next deadline. The core's invariants are checked after every step, or every so many.

#include "messages/envelope.hpp"
#include "scenarios/sim/network.hpp"
#include "scenarios/sim/observer.hpp"
#include "scheduler/core.hpp"

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

namespace consort::sim {

/// Steps of the core between two looks at its invariants. A look takes as long as there are `rows`,
/// so that after every step of an overloaded run it would take hours: beyond check_rows_max it
/// comes so much less often that its share of the run stays the same. Returns: `wanted` unless it
/// is 0.
[[nodiscard]] std::uint64_t steps_between_checks(std::uint32_t wanted, std::size_t rows);

class scheduler_shell : public network_peer {
public:
  scheduler_shell(event_heap& heap, network& links, const observer_list& watchers,
                  core::core_config config, std::uint32_t check_every = 0,
                  std::function<std::size_t()> rows = {});

  /// Where a node's name is reached. Requires: called for every node before it speaks.
  void know_node(const node_id& node, address at);
  /// An event that comes from no link, such as a model's declaration.
  void apply(const core::event& happened);

  void on_frame(address from, channel stream, const messages::frame& received) override;
  void on_parcel(address from, channel stream, const parcel& received) override;
  void on_closed(address from, channel stream) override;

  /// The process dies: its core is gone, its links are reset.
  void kill();
  /// Another takes its place, with an empty core. Nodes and gateways dial it by themselves.
  void start();
  /// A link is believed dead: `from` was silent, or its link broke.
  void lose_link(address from);

  [[nodiscard]] bool running() const { return core_ != nullptr; }
  /// Requires: running().
  [[nodiscard]] core::core& brain() { return *core_; }
  /// The first broken invariant of the core, or what a frame could not be decoded for.
  [[nodiscard]] const std::optional<std::string>& broken() const { return broken_; }
  /// Over the time and content of every command: what was decided, however it crosses the network.
  [[nodiscard]] std::uint64_t decisions() const { return decisions_; }

private:
  void hear(address from, const core::event& happened);
  void carry_out(core::command& wanted);
  void send(address to, core::command& wanted);
  void arm_tick();

  event_heap& heap_;
  network& links_;
  const observer_list& watchers_;
  core::core_config config_;
  std::unique_ptr<core::core> core_;                   ///< Null while dead.
  std::unordered_map<std::string, address> addresses_; ///< By node. Looked up, never walked.
  std::map<address, std::pair<node_id, incarnation>> joined_;
  std::uint32_t check_every_;
  std::function<std::size_t()> rows_; ///< Requests and devices; empty: few.
  std::uint64_t unchecked_ = 0;       ///< Steps since its invariants were looked at.
  std::vector<core::command> out_;
  std::optional<time_us> armed_;
  std::optional<std::string> broken_;
  std::uint64_t sequence_ = 0;
  std::uint64_t decisions_ = fold_start;
};

} // namespace consort::sim
