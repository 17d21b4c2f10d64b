// SPDX-License-Identifier: Apache-2.0
#include "actors/scheduler_actor.hpp"

#include "actors/caf_compat.hpp"
#include "actors/link_actors.hpp"
#include "messages/ticket_seal.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace consort::actors {

namespace {

spdlog::level::level_enum level_of(core::note::severity severity) {
  switch (severity) {
  case core::note::severity::error: return spdlog::level::err;
  case core::note::severity::warning: return spdlog::level::warn;
  case core::note::severity::info: break;
  }
  return spdlog::level::info;
}

error name_taken(const node_id& name) {
  return {recovery::retry_later, "name_taken",
          "another agent said hello under this name, `" + name.value
              + "`: every agent needs a name of its own (--name); this one gets in again when the "
                "other has gone"};
}

/// Whether two hellos of one link are of one peer. A node that was fenced starts over under its
/// name; a gateway is known by its incarnation.
bool same_peer(const messages::envelope& before, const messages::envelope& now) {
  return before.kind == now.kind && before.sender == now.sender
         && (now.kind == messages::sender_kind::node || before.life == now.life);
}

/// No version of what operators stopped.
constexpr auto never_kept = std::numeric_limits<std::uint64_t>::max();

/// Whether a command says what becomes of some work; leases, notes and records do not.
bool decides(const core::command& wanted) {
  return std::holds_alternative<core::grant_ticket>(wanted)
         || std::holds_alternative<core::queue_notice>(wanted)
         || std::holds_alternative<core::reject_request>(wanted)
         || std::holds_alternative<core::reserve_allocation>(wanted)
         || std::holds_alternative<core::load_replica>(wanted)
         || std::holds_alternative<core::start_compile>(wanted);
}

} // namespace

scheduler_state::scheduler_state(caf::event_based_actor* self, scheduler_options options)
    : self_(self), options_(std::move(options)), core_(options_.core) {
  own_.kind = messages::sender_kind::scheduler;
  own_.sender = options_.core.cluster;
  own_.life = options_.life;
  on_down(self_, [this](const caf::actor_addr& address) { peer_down(address); });
  for (const auto& model : options_.models)
    apply(core::model_declared{model});
}

scheduler_state::~scheduler_state() = default;

caf::behavior scheduler_state::make_behavior() {
  return {
      [this](const frame& incoming) { receive(incoming); },
      [this](deadline_tick due) { deadline_reached(due); },
      [this](peer_revoked) { revoked(); },
      [this](const relink_due& due) { relink_missed(due); },
  };
}

void scheduler_state::receive(const frame& incoming) {
  const auto kind = static_cast<messages::frame_kind>(incoming.kind);
  if (kind == messages::frame_kind::hello) {
    const auto hello = messages::decode_hello(incoming.bytes);
    if (hello)
      return greet(hello->from, hello->body);
    spdlog::warn("scheduler: refused a hello: {}", hello.failure().message);
    if (const auto address = caf::actor_cast<caf::actor>(self_->current_sender()))
      refuse(address, hello.failure());
    return;
  }
  if (sender() == nullptr)
    return spdlog::warn("scheduler: dropped a frame of kind {} from a link that said no hello",
                        incoming.kind);
  if (kind == messages::frame_kind::event)
    return receive_event(incoming);
  if (kind == messages::frame_kind::query_answer)
    return pass_on_report(incoming);
  answer_view(incoming);
}

void scheduler_state::greet(const messages::envelope& from, const messages::hello& hello) {
  const auto address = caf::actor_cast<caf::actor>(self_->current_sender());
  if (!address)
    return;
  const auto refusal = check_hello(hello, options_.core.cluster, options_.join_token);
  if (refusal) {
    spdlog::warn("scheduler: refused {}: {}", from.sender, refusal->message);
    return refuse(address, *refusal);
  }
  if (from.kind == messages::sender_kind::node && !take_name(address, from))
    return;
  const auto addr = address.address();
  if (const auto known = peers_.find(addr); known == peers_.end())
    self_->monitor(addr);
  else if (!same_peer(known->second.greeted, from))
    peer_down(addr); // Whoever it was before has no link any more.
  peers_[addr] = peer{address, from};
  messages::hello_answer welcome;
  welcome.scheduler_now = options_.clock();
  if (from.kind == messages::sender_kind::node) {
    nodes_[node_id{from.sender}] = addr;
    welcome.ticket_key = options_.ticket_key;
  } else {
    const gateway_id gateway{from.life.value};
    if (gateways_.contains(gateway)) // Its earlier link is still to close.
      apply(core::gateway_lost{gateway});
    gateways_[gateway] = addr;
  }
  post_frame(self_, address, to_frame(own_, welcome));
}

/// Whoever lost the name would take it back and lose it again for ever, and nothing would get done;
/// so it waits. What it ran was given to others, hence it starts over when it is let in again.
/// Returns: whether `from` bears the name now.
bool scheduler_state::take_name(const caf::actor& address, const messages::envelope& from) {
  const node_id wanted{from.sender};
  const auto bearer = nodes_.find(wanted);
  const auto known = bearer == nodes_.end() ? peers_.end() : peers_.find(bearer->second);
  const bool taken = known != peers_.end() && known->second.address != address
                     && known->second.greeted.life != from.life;
  if (names_.superseded(wanted, from.life)) {
    if (!taken) {
      send(peer{address, from},
           core::fence_node{wanted, from.life, "another agent bore its name meanwhile"});
      return false;
    }
    spdlog::warn("scheduler: refused node {}: another agent said hello under this name",
                 wanted.value);
    refuse(address, name_taken(wanted));
    return false;
  }
  if (taken) {
    spdlog::warn("scheduler: node {}: another agent said hello under this name; the link of the "
                 "one before is closed",
                 wanted.value);
    refuse(known->second.address, name_taken(wanted));
  }
  names_.admitted(wanted, from.life);
  return true;
}

void scheduler_state::refuse(const caf::actor& address, const error& reason) {
  messages::hello_answer answer;
  answer.refusal = reason;
  post_frame(self_, address, to_frame(own_, answer));
}

void scheduler_state::receive_event(const frame& incoming) {
  auto event = messages::decode_event(incoming.bytes);
  if (!event)
    return spdlog::warn("scheduler: dropped an event from {}: {}", sender()->greeted.sender,
                        event.failure().message);
  if (!speaks_for_itself(sender()->greeted, event->from, event->body))
    return spdlog::warn("scheduler: dropped an event that {} sent in another's name",
                        sender()->greeted.sender);
  // Who says it again wants it kept, too, whether or not it changes anything.
  if (holds_unkept_ && std::holds_alternative<core::drain_changed>(event->body))
    holds_kept_ = never_kept;
  apply(event->body);
  if (std::holds_alternative<core::model_declared>(event->body)
      || std::holds_alternative<core::model_removed>(event->body))
    keep_models();
}

void scheduler_state::answer_view(const frame& incoming) {
  const auto query = messages::decode_query(incoming.bytes);
  if (!query)
    return spdlog::warn("scheduler: dropped a query: {}", query.failure().message);
  if (query->body.reload)
    return ask_nodes(query->body, &messages::query::reload, &messages::query_answer::reloads);
  if (query->body.plugins)
    return ask_nodes(query->body, &messages::query::plugins, &messages::query_answer::plugins);
  if (query->body.kept != messages::kept_part::none)
    return answer_kept(query->body);
  messages::query_answer answer;
  answer.number = query->body.number;
  const auto now = options_.clock();
  if (query->body.dry_run) {
    auto told = core_.explain(*query->body.dry_run, now);
    if (told)
      answer.explanation = *std::move(told);
    else
      answer.refusal = told.failure();
  } else if (query->body.plan) {
    auto told = core_.plan(*query->body.plan, now);
    if (told)
      answer.explanation = *std::move(told);
    else
      answer.refusal = told.failure();
  } else if (query->body.requests || query->body.explain.empty()) {
    constexpr auto bytes_max = messages::limits::page_bytes_max;
    auto page = query->body.requests ? core_.requests(*query->body.requests, bytes_max, now)
                                     : core_.view_page(query->body.from, bytes_max, now);
    answer.snapshot = std::move(page.rows);
    answer.next = std::move(page.next);
  } else {
    answer.explanation = core_.explain(query->body.explain, now);
  }
  post_frame(self_, sender()->address, to_frame(own_, answer));
}

/// Whether what was said of it last is on disk for the next life.
void scheduler_state::answer_kept(const messages::query& wanted) {
  messages::query_answer answer;
  answer.number = wanted.number;
  answer.refusal = wanted.kept == messages::kept_part::holds ? holds_unkept_ : models_unkept_;
  answer.kept = !answer.refusal;
  post_frame(self_, sender()->address, to_frame(own_, answer));
}

/// Tells the gateway which nodes are asked, then asks them; each answers for itself.
template <class Report>
void scheduler_state::ask_nodes(const messages::query& wanted,
                                std::optional<messages::node_wish> messages::query::*wish,
                                std::vector<Report> messages::query_answer::*reports) {
  const auto* asker = sender();
  if (asker->greeted.kind != messages::sender_kind::gateway)
    return spdlog::warn("scheduler: {} is no gateway and may not ask nodes", asker->greeted.sender);
  auto passed_on = wanted;
  (passed_on.*wish)->gateway = gateway_id{asker->greeted.life.value};
  const auto& only = (wanted.*wish)->node;
  messages::query_answer answer;
  answer.number = wanted.number;
  std::vector<caf::actor> asked;
  for (const auto& [node, address] : nodes_)
    if (only.empty() || only == node) {
      (answer.*reports).emplace_back().node = node;
      asked.push_back(peers_.at(address).address);
    }
  if (asked.empty())
    answer.refusal = error{recovery::refuse, "unknown_node",
                           only.empty() ? "no node has a link just now"
                                        : "no node `" + only.value + "` has a link just now"};
  if (asked.size() > messages::limits::nodes_max) {
    (answer.*reports).clear();
    asked.clear();
    answer.refusal = error{recovery::refuse, "too_many_nodes", "too many nodes: name one of them"};
  }
  post_frame(self_, asker->address, to_frame(own_, answer));
  for (const auto& node : asked)
    post_frame(self_, node, to_frame(own_, passed_on));
}

/// What a node says of itself goes to the gateway that asked, under that node's name.
void scheduler_state::pass_on_report(const frame& incoming) {
  const auto& from = sender()->greeted;
  const auto told = messages::decode_query_answer(incoming.bytes);
  if (!told || from.kind != messages::sender_kind::node
      || told->body.reloads.size() + told->body.plugins.size() != 1)
    return spdlog::warn("scheduler: dropped an answer from {}", from.sender);
  const auto gateway = gateways_.find(told->body.gateway);
  if (gateway == gateways_.end())
    return; // It left meanwhile.
  messages::query_answer answer;
  answer.number = told->body.number;
  answer.reloads = told->body.reloads;
  answer.plugins = told->body.plugins;
  for (auto& one : answer.reloads)
    one.node = node_id{from.sender};
  for (auto& one : answer.plugins)
    one.node = node_id{from.sender};
  post_frame(self_, peers_.at(gateway->second).address, to_frame(own_, answer));
}

void scheduler_state::peer_down(const caf::actor_addr& address) {
  const auto found = peers_.find(address);
  if (found == peers_.end())
    return;
  const auto gone = found->second.greeted;
  peers_.erase(found);
  // A later link of the same peer may stand already.
  if (gone.kind == messages::sender_kind::gateway) {
    const auto gateway = gateways_.find(gateway_id{gone.life.value});
    if (gateway == gateways_.end() || gateway->second != address)
      return;
    gateways_.erase(gateway);
    return apply(core::gateway_lost{gateway_id{gone.life.value}});
  }
  const auto node = nodes_.find(node_id{gone.sender});
  if (node == nodes_.end() || node->second != address)
    return;
  nodes_.erase(node);
  apply(core::node_lost{node_id{gone.sender}, gone.life, false, "its link closed"});
}

/// A closed link is a hint, a revoked certificate is none, unless the node has a renewed one and
/// comes back with it: what runs there goes on then.
void scheduler_state::revoked() {
  const auto* gone = sender();
  if (gone != nullptr && gone->greeted.kind == messages::sender_kind::node)
    post_self_after(self_, std::chrono::microseconds(limits::relink_us),
                    relink_due{node_id{gone->greeted.sender}, gone->greeted.life});
}

void scheduler_state::relink_missed(const relink_due& due) {
  const auto bearer = nodes_.find(due.node);
  const auto known = bearer == nodes_.end() ? peers_.end() : peers_.find(bearer->second);
  if (known == peers_.end() || known->second.greeted.life != due.life)
    apply(core::node_lost{due.node, due.life, true, "its certificate is revoked", true});
}

void scheduler_state::apply(const core::event& happened) {
  const auto began = std::chrono::steady_clock::now();
  core_.step(happened, options_.clock(), commands_);
  if (options_.observe_decision && std::any_of(commands_.begin(), commands_.end(), decides))
    options_.observe_decision(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  keep_spending();
  for (const auto& wanted : commands_)
    carry_out(wanted);
  commands_.clear();
  keep_holds();
  arm();
}

void scheduler_state::keep_holds() {
  if (core_.holds_version() == holds_kept_)
    return;
  holds_kept_ = core_.holds_version();
  if (options_.keep_holds)
    holds_unkept_ = tell_unkept("what is drained and cordoned",
                                options_.keep_holds(core_.holds(options_.clock())));
}

/// Money goes on being spent where it cannot be kept: that is told once, not with every request.
void scheduler_state::keep_spending() {
  if (!options_.keep_spending)
    return;
  const auto spent = core_.remote_spent_to_keep();
  if (!spent)
    return;
  const auto kept = options_.keep_spending(*spent);
  if (kept)
    spending_unkept_.reset();
  else if (!spending_unkept_)
    spending_unkept_ = tell_unkept("what was spent on remote APIs", kept);
}

std::optional<error> scheduler_state::tell_unkept(const char* what, const result<done>& kept) {
  if (kept)
    return std::nullopt;
  carry_out(
      core::note{core::note::severity::error, "scheduler",
                 std::string(what) + " is not kept over a restart: " + kept.failure().message});
  return kept.failure();
}

/// What the core made of it, which may have refused it or left an alias out.
void scheduler_state::keep_models() {
  if (!options_.keep_models)
    return;
  std::vector<model_spec> all;
  for (auto& one : core_.view(options_.clock()).models)
    all.push_back(std::move(one.spec));
  models_unkept_ = tell_unkept("what was added or removed of models", options_.keep_models(all));
}

void scheduler_state::carry_out(const core::command& wanted) {
  std::visit(
      [this, &wanted](const auto& what) {
        using kind = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<kind, core::grant_ticket>) {
          auto sealed = what;
          sealed.granted.mac = messages::seal(sealed.granted, options_.ticket_key);
          send_to_gateway(what.granted.attempt.request.gateway, sealed);
        } else if constexpr (std::is_same_v<kind, core::drop_attempt>) {
          send_to_gateway(what.attempt.request.gateway, wanted);
        } else if constexpr (
            std::is_same_v<kind,
                           core::queue_notice> || std::is_same_v<kind, core::reject_request>) {
          send_to_gateway(what.request.gateway, wanted);
        } else if constexpr (std::is_same_v<kind, core::record_request>) {
          send_to_all_gateways(wanted);
        } else if constexpr (std::is_same_v<kind, core::note>) {
          spdlog::log(level_of(what.level), "{}: {}", what.subject, what.text);
          send_to_all_gateways(wanted);
        } else {
          send_to_node(what.node, wanted);
        }
      },
      wanted);
}

void scheduler_state::send_to_node(const node_id& node, const core::command& wanted) {
  const auto found = nodes_.find(node);
  if (found != nodes_.end())
    send(peers_.at(found->second), wanted);
}

void scheduler_state::send_to_gateway(gateway_id gateway, const core::command& wanted) {
  const auto found = gateways_.find(gateway);
  if (found != gateways_.end())
    send(peers_.at(found->second), wanted);
}

void scheduler_state::send_to_all_gateways(const core::command& wanted) {
  for (const auto& [id, address] : gateways_)
    send(peers_.at(address), wanted);
}

void scheduler_state::send(const peer& to, const core::command& wanted) {
  ++own_.sequence;
  post_frame(self_, to.address, to_frame(own_, wanted));
}

void scheduler_state::arm() {
  const auto deadline = core_.next_deadline();
  if (!deadline || (armed_for_ && *armed_for_ <= *deadline))
    return;
  armed_for_ = deadline;
  const auto wait = std::max<time_us>(*deadline - options_.clock(), 0);
  post_self_after(self_, std::chrono::microseconds(wait), deadline_tick{++generation_});
}

void scheduler_state::deadline_reached(deadline_tick due) {
  if (due.generation != generation_)
    return;
  armed_for_.reset();
  apply(core::tick{});
}

const scheduler_state::peer* scheduler_state::sender() const {
  const auto address = caf::actor_cast<caf::actor_addr>(self_->current_sender());
  const auto found = peers_.find(address);
  return found == peers_.end() ? nullptr : &found->second;
}

} // namespace consort::actors
