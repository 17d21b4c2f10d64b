// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/scheduler_shell.hpp"

#include "messages/codec.hpp"
#include "scenarios/limits.hpp"
#include "scenarios/sim/gateway_model.hpp"

#include <algorithm>
#include <cassert>
#include <type_traits>

namespace consort::sim {

namespace {

/// The node a command is for; null when it is for gateways or for records.
const node_id* receiving_node(const core::command& wanted) {
  return std::visit(
      [](const auto& body) -> const node_id* {
        if constexpr (requires { body.node; })
          return &body.node;
        else
          return nullptr;
      },
      wanted);
}

std::uint64_t fold_id(std::uint64_t state, const request_id& id) {
  return fold(fold(state, id.gateway.value), id.sequence);
}

/// Which command it is, where it goes, and what of: whom it names, of all kinds of names that
/// commands have.
std::uint64_t fold_command(std::uint64_t state, const core::command& wanted) {
  state = fold(state, std::uint64_t{wanted.index()});
  return std::visit(
      [state](const auto& body) mutable {
        if constexpr (requires { body.node; })
          state = fold(state, body.node.value);
        if constexpr (requires { body.instance; })
          state = fold(state, body.instance.value);
        if constexpr (requires { body.grant.id; })
          state = fold(state, body.grant.id.value);
        if constexpr (requires { body.compile; })
          state = fold(state, body.compile.value);
        if constexpr (requires { body.content; })
          state = fold(state, body.content.value);
        if constexpr (requires { body.attempt.number; })
          state = fold(fold_id(state, body.attempt.request), std::uint64_t{body.attempt.number});
        if constexpr (requires { body.request; })
          state = fold_id(state, body.request);
        if constexpr (requires { body.http_status; })
          state = fold(state, std::uint64_t{body.http_status});
        if constexpr (requires { body.outcome; })
          state = fold(state, static_cast<std::uint64_t>(body.outcome));
        if constexpr (requires { body.granted; }) {
          const auto& to = body.granted;
          state = fold(fold_id(state, to.attempt.request), std::uint64_t{to.attempt.number});
          state = fold(fold(state, to.device.value), to.instance.value);
        }
        return state;
      },
      wanted);
}

} // namespace

std::uint64_t steps_between_checks(std::uint32_t wanted, std::size_t rows) {
  return wanted > 0 ? wanted : std::max<std::uint64_t>(rows / limits::check_rows_max, 1);
}

scheduler_shell::scheduler_shell(event_heap& heap, network& links, const observer_list& watchers,
                                 core::core_config config, std::uint32_t check_every,
                                 std::function<std::size_t()> rows)
    : heap_(heap),
      links_(links),
      watchers_(watchers),
      config_(std::move(config)),
      core_(std::make_unique<core::core>(config_)),
      check_every_(check_every),
      rows_(std::move(rows)) {
  links_.attach(scheduler_address, *this);
}

void scheduler_shell::kill() {
  config_.holds = core_->holds(heap_.now()); // Which a real one finds on its disk.
  core_.reset();
  armed_.reset();
  joined_.clear();
  links_.detach(scheduler_address);
  watchers_.each([&](observer& watcher) { watcher.on_scheduler_lost(heap_.now()); });
}

void scheduler_shell::start() {
  // Beyond any number that its predecessor can have given out.
  config_.numbers_from += 1'000'000'000;
  core_ = std::make_unique<core::core>(config_);
  links_.attach(scheduler_address, *this);
}

void scheduler_shell::lose_link(address from) {
  if (from == gateway_address)
    apply(core::gateway_lost{gateway_model::id()});
  else
    on_closed(from, control_channel);
}

void scheduler_shell::know_node(const node_id& node, address at) {
  addresses_[node.value] = at;
}

void scheduler_shell::on_frame(address from, channel, const messages::frame& received) {
  auto message = messages::decode_event(received.payload);
  if (!message) {
    broken_ = "the scheduler could not decode a frame: " + message.failure().message;
    return;
  }
  hear(from, message->body);
}

void scheduler_shell::on_parcel(address from, channel, const parcel& received) {
  hear(from, std::get<core::event>(received));
}

void scheduler_shell::hear(address from, const core::event& happened) {
  // So that a later reset of the link can name who was on it.
  if (const auto* joined = std::get_if<core::node_joined>(&happened))
    joined_[from] = {joined->node, joined->life};
  apply(happened);
}

void scheduler_shell::on_closed(address from, channel) {
  const auto found = joined_.find(from);
  if (found == joined_.end())
    return;
  const auto [node, life] = found->second;
  joined_.erase(found);
  apply(core::node_lost{node, life, false, "link closed"});
}

void scheduler_shell::apply(const core::event& happened) {
  if (!core_)
    return;
  const auto now = heap_.now();
  watchers_.each([&](observer& watcher) { watcher.on_event(happened, now); });
  out_.clear();
  core_->step(happened, now, out_);
  if (!broken_ && ++unchecked_ >= steps_between_checks(check_every_, rows_ ? rows_() : 0)) {
    unchecked_ = 0;
    if (auto violated = core_->check_invariants())
      broken_ = "the core's invariant broke: " + *violated;
  }
  // Every command of a step leaves before the next event comes in.
  auto commands = std::move(out_);
  for (auto& wanted : commands)
    carry_out(wanted);
  commands.clear();
  out_ = std::move(commands); // The next step's room.
  arm_tick();
}

void scheduler_shell::carry_out(core::command& wanted) {
  watchers_.each([&](observer& watcher) { watcher.on_command(wanted, heap_.now()); });
  decisions_ = fold_command(fold(decisions_, static_cast<std::uint64_t>(heap_.now())), wanted);
  const auto* node = receiving_node(wanted);
  if (!node)
    return send(gateway_address, wanted);
  // The core knows no addresses: finding a node is the shell's job, as in production.
  const auto at = addresses_.find(node->value);
  if (at == addresses_.end())
    broken_ = "the core commanded the unknown node " + node->value;
  else
    send(at->second, wanted);
}

/// Nobody needs it afterwards.
void scheduler_shell::send(address to, core::command& wanted) {
  if (links_.plain())
    return links_.hand_over(scheduler_address, to, control_channel, std::move(wanted));
  const messages::envelope from{.kind = messages::sender_kind::scheduler,
                                .sender = "sim",
                                .life = incarnation(1),
                                .sequence = ++sequence_};
  const auto payload = messages::encode(from, wanted);
  if (payload)
    links_.send(scheduler_address, to, control_channel, messages::frame_kind::command, *payload);
  else
    broken_ = "a command cannot be encoded: " + payload.failure().message;
}

/// Keeps the earliest wanted tick armed; a tick that came too early only asks again.
void scheduler_shell::arm_tick() {
  const auto wanted = core_->next_deadline();
  if (!wanted || (armed_ && *armed_ <= *wanted))
    return;
  armed_ = *wanted;
  heap_.at(*wanted, [this, at = *wanted] {
    if (armed_ != at)
      return; // An earlier tick replaced this one.
    armed_.reset();
    apply(core::tick{});
  });
}

} // namespace consort::sim
