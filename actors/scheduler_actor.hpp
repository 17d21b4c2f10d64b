// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The scheduler's shell: decodes frames into events, steps the core, encodes its commands to the
/// links they concern, and keeps one timer armed for the core's next deadline. Owns the core. It
/// decides nothing about scheduling.
///
/// A link speaks only after a hello of the right protocol version, cluster and token; what it then
/// sends is believed only under the name and incarnation it said hello with. One agent at a time
/// bears a node's name: a new incarnation takes it, and the one that had it is refused from then on
/// until nobody has a link under that name; then it starts over.

#include "actors/interfaces.hpp"
#include "actors/name_book.hpp"
#include "actors/wire.hpp"
#include "scheduler/core.hpp"

#include <caf/all.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace consort::actors {

struct scheduler_options {
  core::core_config core;
  incarnation life; ///< Of this scheduler's process; random, never 0. Peers notice a restart by it.
  std::string join_token; ///< Empty inside one process.
  std::string ticket_key; ///< Seals tickets; handed to nodes in the answer to their hello. At least
                          ///< 32 random bytes.
  std::function<time_us()> clock;
  std::vector<model_spec> models;
  /// Told how long each step of the core took that decided about work, in seconds; may be empty.
  /// Called on the actor's thread.
  std::function<void(double)> observe_decision;
  /// Told of what operators stopped whenever that changes, to be kept for the next life; may be
  /// empty. Called on the actor's thread. Who cannot keep it says why: everybody is told.
  std::function<result<done>(const core::hold_map&)> keep_holds;
  /// Told of what of the budget for REMOTE devices counts as spent, in micros, before the tickets
  /// that spend it go out; may be empty. Otherwise as keep_holds.
  std::function<result<done>(std::uint64_t)> keep_spending;
  /// Told of all models whenever one was declared or removed after the start, to be kept for the
  /// next life; may be empty. Otherwise as keep_holds.
  std::function<result<done>(const std::vector<model_spec>&)> keep_models;
};

class scheduler_state {
public:
  static inline const char* name = "scheduler";

  scheduler_state(caf::event_based_actor* self, scheduler_options options);
  ~scheduler_state();
  caf::behavior make_behavior();

private:
  /// One greeted node or gateway.
  struct peer {
    caf::actor address;
    messages::envelope greeted;
  };

  void receive(const frame& incoming);
  void greet(const messages::envelope& from, const messages::hello& hello);
  [[nodiscard]] bool take_name(const caf::actor& address, const messages::envelope& from);
  void refuse(const caf::actor& address, const error& reason);
  void receive_event(const frame& incoming);
  void answer_view(const frame& incoming);
  void answer_kept(const messages::query& wanted);
  /// `wish` says whom, `reports` is what they fill.
  template <class Report>
  void ask_nodes(const messages::query& wanted,
                 std::optional<messages::node_wish> messages::query::*wish,
                 std::vector<Report> messages::query_answer::*reports);
  void pass_on_report(const frame& incoming);
  void peer_down(const caf::actor_addr& address);
  void revoked();
  void relink_missed(const relink_due& due);

  void apply(const core::event& happened);
  void keep_holds();
  void keep_spending();
  /// A note for `consort events` where what was done is gone after a restart. Returns: why it is.
  std::optional<error> tell_unkept(const char* what, const result<done>& kept);
  void keep_models();
  void carry_out(const core::command& wanted);
  void send_to_node(const node_id& node, const core::command& wanted);
  void send_to_gateway(gateway_id gateway, const core::command& wanted);
  void send_to_all_gateways(const core::command& wanted);
  void send(const peer& to, const core::command& wanted);
  void arm();
  void deadline_reached(deadline_tick due);

  [[nodiscard]] const peer* sender() const;

  caf::event_based_actor* self_;
  scheduler_options options_;
  core::core core_;
  messages::envelope own_;
  std::map<caf::actor_addr, peer> peers_;
  std::map<node_id, caf::actor_addr> nodes_;
  name_book names_;
  std::map<gateway_id, caf::actor_addr> gateways_;
  std::vector<core::command> commands_;
  std::optional<time_us> armed_for_;
  std::uint64_t generation_ = 0;
  std::uint64_t holds_kept_ = 0; ///< Version; tried at least.
  std::optional<error> holds_unkept_, models_unkept_, spending_unkept_; ///< Why the last failed.
};

} // namespace consort::actors
