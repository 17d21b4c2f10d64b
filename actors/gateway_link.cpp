// SPDX-License-Identifier: Apache-2.0
#include "actors/gateway_link.hpp"

#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/link_actors.hpp"
#include "actors/open_requests.hpp"
#include "actors/spawn.hpp"

#include <spdlog/spdlog.h>

#include <deque>
#include <limits>
#include <mutex>

namespace consort::actors {

namespace {

using snapshot_answer = std::function<void(result<core::snapshot>)>;
using explain_answer = std::function<void(result<core::explanation>)>;
using listener_ptr = std::shared_ptr<gateway::request_listener>;

constexpr time_us time_max = std::numeric_limits<time_us>::max();
const error scheduler_away{recovery::retry_later, "scheduler_away",
                           "there is no link to the scheduler just now; try again"};

using pending_query = pending_view;

/// A scheduler that does not know such a question answers another.
const error asks_no_nodes{recovery::refuse, "unsupported",
                          "the scheduler is of an older version, which asks no nodes for this"};

const error no_snapshot{recovery::bug, "no_snapshot", "the scheduler sent no snapshot"};

/// What nodes said, or why none did.
template <class Reports>
result<Reports> said_or(const Reports& reports, const error& otherwise) {
  return reports.empty() ? result<Reports>(otherwise) : result<Reports>(reports);
}

/// Keeps what came of the nodes. Returns: whether some are still to answer.
template <class Report>
bool keep(std::vector<Report>& known, std::vector<Report>& came) {
  if (known.empty())
    known = std::move(came);
  else
    for (auto& one : known)
      if (one.node == came.front().node)
        one = came.front();
  return std::any_of(known.begin(), known.end(), [](const auto& one) { return !one.answered; });
}

void fail(const pending_query& query, const error& failure) {
  if (query.on_snapshot)
    query.on_snapshot(failure);
  if (query.on_explanation)
    query.on_explanation(failure);
  // What some nodes said is worth knowing even when others said nothing.
  if (query.on_reloads)
    query.on_reloads(said_or(query.reloads, failure));
  if (query.on_plugins)
    query.on_plugins(said_or(query.plugins, failure));
  if (query.on_taken) // It was passed on before.
    query.on_taken(gateway::admin_taken{});
  if (query.on_requests)
    query.on_requests(failure);
}

/// An older scheduler answers with what it was not asked.
gateway::admin_taken taken_of(const messages::query_answer& from) {
  if (from.kept)
    return {true, {}};
  return from.refusal ? gateway::admin_taken{false, from.refusal->message} : gateway::admin_taken{};
}

/// What of it the scheduler keeps for its next life.
messages::kept_part kept_of(const gateway::admin_request& wanted) {
  if (std::holds_alternative<core::drain_changed>(wanted))
    return messages::kept_part::holds;
  return std::holds_alternative<core::compile_requested>(wanted) ? messages::kept_part::none
                                                                 : messages::kept_part::models;
}

/// An older scheduler answers with the whole snapshot, whose requests have no numbers to go on
/// from.
result<core::snapshot_page> page_of(messages::query_answer& from) {
  if (!from.snapshot)
    return no_snapshot;
  if (from.next && from.next->part != core::view_part::requests)
    from.next.reset();
  return core::snapshot_page{std::move(*from.snapshot), std::move(from.next)};
}

void answer(const pending_query& query, messages::query_answer& from) {
  if (query.on_taken)
    query.on_taken(taken_of(from));
  if (query.on_snapshot)
    query.on_snapshot(from.snapshot ? result<core::snapshot>(std::move(*from.snapshot))
                                    : result<core::snapshot>(no_snapshot));
  if (query.on_requests)
    query.on_requests(page_of(from));
  if (query.on_reloads)
    query.on_reloads(said_or(query.reloads, from.refusal.value_or(asks_no_nodes)));
  if (query.on_plugins)
    query.on_plugins(said_or(query.plugins, from.refusal.value_or(asks_no_nodes)));
  if (query.on_explanation && from.refusal)
    return query.on_explanation(*from.refusal);
  if (query.on_explanation)
    query.on_explanation(from.explanation ? result<core::explanation>(std::move(*from.explanation))
                                          : result<core::explanation>(error{
                                              recovery::refuse, "unknown_request",
                                              "no request `" + query.explains
                                                  + "`, or it is too long ago to be explained"}));
}

} // namespace

/// What the HTTP threads and the link actor share. Callbacks are copied out under the lock and
/// called without it; frames are posted under it, so that what a fresh link is told first comes
/// first. Posting never blocks.
struct gateway_link::shared {
  shared(gateway_options opts, caf::actor peer)
      : options(std::move(opts)),
        scheduler(std::move(peer)),
        requests(options.listeners_max),
        speaking(!options.linked) {
    own.kind = messages::sender_kind::gateway;
    own.sender = options.name;
    own.life = incarnation{options.id.value};
  }

  /// Posts as the link actor. Requires: the lock is held. Returns: why it cannot be sent, when it
  /// breaks a limit of the wire.
  template <class Body>
  std::optional<error> send(const Body& body) {
    ++own.sequence;
    auto encoded = to_frame(own, body);
    if (!encoded)
      return encoded.failure();
    post_as(link, scheduler, std::move(*encoded));
    return std::nullopt;
  }

  std::optional<pending_query> take_query(std::uint64_t number) {
    const std::lock_guard lock(mutex);
    const auto found = queries.find(number);
    if (found == queries.end())
      return std::nullopt;
    auto query = std::move(found->second);
    queries.erase(found);
    return query;
  }

  std::vector<pending_query> take_overdue(time_us now) {
    const std::lock_guard lock(mutex);
    std::vector<pending_query> overdue;
    for (auto it = queries.begin(); it != queries.end();) {
      if (it->second.due > now) {
        ++it;
        continue;
      }
      overdue.push_back(std::move(it->second));
      it = queries.erase(it);
    }
    return overdue;
  }

  void say_hello();
  void welcomed();
  bool more_to_come(messages::query_answer& reply);
  bool next_page(messages::query_answer& reply, pending_query& query);
  void link_lost();
  std::optional<error> submit(const request_meta& meta);
  void report(const gateway::gateway_report& happened);
  void deliver(const core::command& told);

  const gateway_options options;
  const caf::actor scheduler;
  caf::actor link; ///< Set once, before anything is sent.
  std::mutex mutex;
  messages::envelope own;
  open_requests requests;
  bool speaking;                     ///< Greeted; what happens before is told at the welcome.
  std::deque<core::event> ends_held; ///< Ends that happened while no link was open.
  std::map<std::uint64_t, pending_query> queries; ///< By query number.
  std::uint64_t query_number = 0;
  std::vector<std::function<void(const core::command&)>> subscribers;
};

void gateway_link::shared::say_hello() {
  const std::lock_guard lock(mutex);
  messages::hello hello;
  hello.cluster = options.cluster;
  hello.join_token = options.join_token;
  if (const auto unsendable = send(hello))
    spdlog::error("gateway: cannot say hello: {}", unsendable->message);
}

/// Tells of every open request, and of those that ended meanwhile, before anything newer.
void gateway_link::shared::welcomed() {
  const std::lock_guard lock(mutex);
  if (speaking)
    return;
  speaking = true;
  for (const auto& end : ends_held)
    send(end);
  ends_held.clear();
  for (const auto& open : requests.restored(options.clock()))
    send(open);
  send(core::event(core::gateway_restored{options.id}));
}

/// Keeps what came. Returns: whether the rest is still to come.
bool gateway_link::shared::more_to_come(messages::query_answer& reply) {
  const std::lock_guard lock(mutex);
  const auto found = queries.find(reply.number);
  if (found == queries.end() || found->second.on_taken)
    return false;
  if (reply.snapshot)
    return !found->second.on_requests && next_page(reply, found->second);
  if (!reply.reloads.empty())
    return keep(found->second.reloads, reply.reloads);
  return !reply.plugins.empty() && keep(found->second.plugins, reply.plugins);
}

/// Asks for what follows, or puts the pages together. Requires: the lock is held.
bool gateway_link::shared::next_page(messages::query_answer& reply, pending_query& query) {
  core::append(query.pages, std::move(*reply.snapshot));
  if (reply.next) {
    query.due = options.clock() + limits::query_timeout_us;
    messages::query wanted;
    wanted.number = reply.number;
    wanted.from = *reply.next;
    if (!send(wanted))
      return true;
  }
  reply.snapshot = std::move(query.pages);
  return false;
}

void gateway_link::shared::link_lost() {
  const std::lock_guard lock(mutex);
  speaking = false;
}

std::optional<error> gateway_link::shared::submit(const request_meta& meta) {
  const std::lock_guard lock(mutex);
  return speaking ? send(core::event(core::request_submitted{meta})) : std::nullopt;
}

void gateway_link::shared::report(const gateway::gateway_report& happened) {
  const std::lock_guard lock(mutex);
  requests.reported(happened);
  const auto event = std::visit([](const auto& what) { return core::event(what); }, happened);
  if (!speaking) {
    const bool end = std::holds_alternative<core::attempt_finished>(happened)
                     || std::holds_alternative<core::request_cancelled>(happened);
    if (end && ends_held.size() < limits::ends_held_max)
      ends_held.push_back(event);
    return;
  }
  if (const auto unsendable = send(event))
    spdlog::error("gateway: cannot encode a report: {}", unsendable->message);
}

void gateway_link::shared::deliver(const core::command& told) {
  const auto listener_of = [this](const request_id& request, const auto& change) {
    const std::lock_guard lock(mutex);
    auto listener = requests.listener_of(request);
    change();
    return listener;
  };
  std::visit(
      [this, &told, &listener_of](const auto& what) {
        using kind = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<kind, core::grant_ticket>) {
          if (const auto listener
              = listener_of(what.granted.attempt.request, [&] { requests.granted(what); }))
            listener->on_ticket(what);
        } else if constexpr (std::is_same_v<kind, core::drop_attempt>) {
          if (const auto listener
              = listener_of(what.attempt.request, [&] { requests.dropped(what.attempt); }))
            listener->on_drop(what);
        } else if constexpr (std::is_same_v<kind, core::queue_notice>) {
          if (const auto listener = listener_of(what.request, [] {}))
            listener->on_queue(what);
        } else if constexpr (std::is_same_v<kind, core::reject_request>) {
          if (const auto listener
              = listener_of(what.request, [&] { requests.forget(what.request); }))
            listener->on_reject(what);
        } else if constexpr (std::is_same_v<
                                 kind, core::record_request> || std::is_same_v<kind, core::note>) {
          std::vector<std::function<void(const core::command&)>> copies;
          {
            const std::lock_guard lock(mutex);
            copies = subscribers;
          }
          for (const auto& subscriber : copies)
            subscriber(told);
        }
      },
      told);
}

namespace {

/// The actor behind the port: says hello on every fresh link, decodes what the scheduler sends, and
/// sweeps overdue queries.
template <class Shared>
class link_state {
public:
  static inline const char* name = "gateway-link";

  link_state(caf::event_based_actor* self, std::shared_ptr<Shared> shared)
      : self_(self), shared_(std::move(shared)) {}

  caf::behavior make_behavior() {
    sweep_later();
    return {
        [this](const frame& incoming) { receive(incoming); },
        [this](link_restored) { shared_->say_hello(); },
        [this](link_lost) { lost(); },
        [this](expire_tick) {
          expire();
          sweep_later();
        },
    };
  }

private:
  void lost() {
    shared_->link_lost();
    for (const auto& query : shared_->take_overdue(time_max))
      fail(query, scheduler_away);
  }

  void receive(const frame& incoming) {
    switch (static_cast<messages::frame_kind>(incoming.kind)) {
    case messages::frame_kind::command: return receive_command(incoming);
    case messages::frame_kind::query_answer: return receive_answer(incoming);
    case messages::frame_kind::hello_answer: return receive_welcome(incoming);
    default: spdlog::warn("gateway: dropped a frame of kind {}", incoming.kind);
    }
  }

  void receive_command(const frame& incoming) {
    const auto command = messages::decode_command(incoming.bytes);
    if (!command)
      return spdlog::warn("gateway: dropped a command: {}", command.failure().message);
    shared_->deliver(command->body);
  }

  void receive_answer(const frame& incoming) {
    auto reply = messages::decode_query_answer(incoming.bytes);
    if (!reply)
      return spdlog::warn("gateway: dropped an answer: {}", reply.failure().message);
    if (shared_->more_to_come(reply->body))
      return;
    if (const auto query = shared_->take_query(reply->body.number))
      answer(*query, reply->body);
  }

  void receive_welcome(const frame& incoming) {
    const auto welcome = messages::decode_hello_answer(incoming.bytes);
    if (!welcome)
      return spdlog::warn("gateway: dropped an answer: {}", welcome.failure().message);
    if (welcome->body.refusal) {
      if (refused_ != welcome->body.refusal->message) // It tries for ever.
        spdlog::error("gateway: the scheduler refused it: {}", welcome->body.refusal->message);
      refused_ = welcome->body.refusal->message;
      return;
    }
    refused_.clear();
    shared_->welcomed();
  }

  void expire() {
    for (const auto& query : shared_->take_overdue(shared_->options.clock()))
      fail(query, error{recovery::retry_later, "scheduler_silent",
                        "the scheduler did not answer in time; try again"});
  }

  void sweep_later() {
    post_self_after(self_, std::chrono::microseconds(limits::query_sweep_us), expire_tick{});
  }

  caf::event_based_actor* self_;
  std::shared_ptr<Shared> shared_;
  std::string refused_; ///< What the log said of it last; empty = welcome since.
};

} // namespace

gateway_link::gateway_link(caf::actor_system& system, caf::actor scheduler, gateway_options options)
    : shared_(std::make_shared<shared>(std::move(options), std::move(scheduler))),
      link_(spawn_state<link_state<shared>>(system, shared_)) {
  shared_->link = link_;
  if (!shared_->options.linked)
    shared_->say_hello();
}

gateway_link::~gateway_link() {
  stop(link_);
}

gateway_id gateway_link::id() const {
  return shared_->options.id;
}

void gateway_link::submit(request_meta meta, listener_ptr listener) {
  core::reject_request rejected;
  rejected.request = meta.id;
  bool fits = false;
  {
    const std::lock_guard lock(shared_->mutex);
    fits = shared_->requests.add(meta, listener, shared_->options.clock());
  }
  if (!fits) {
    rejected.http_status = 429;
    rejected.reason
        = error{recovery::retry_later, "gateway_full", "this gateway has too many requests open"};
    rejected.retry_after_us = limits::query_timeout_us;
    return listener->on_reject(rejected);
  }
  const auto unsendable = shared_->submit(meta);
  if (!unsendable)
    return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->requests.forget(meta.id);
  }
  rejected.http_status = 400;
  rejected.reason = *unsendable;
  listener->on_reject(rejected);
}

void gateway_link::report(gateway::gateway_report happened) {
  shared_->report(happened);
}

void gateway_link::admin(gateway::admin_request wanted,
                         std::function<void(result<gateway::admin_taken>)> answer) {
  messages::query keeps;
  keeps.kept = kept_of(wanted);
  const auto event
      = std::visit([](auto&& what) { return core::event(std::forward<decltype(what)>(what)); },
                   std::move(wanted));
  std::optional<error> failure = scheduler_away;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->speaking)
      failure = shared_->send(event);
  }
  if (failure)
    return answer(*failure);
  if (keeps.kept == messages::kept_part::none)
    return answer(gateway::admin_taken{});
  // Frames keep their order: it is answered when the event was carried out.
  pending_query query;
  query.on_taken = std::move(answer);
  ask(std::move(keeps), std::move(query), limits::kept_timeout_us);
}

void gateway_link::snapshot(snapshot_answer answer) {
  ask({}, pending_query{0, std::move(answer), nullptr, {}});
}

void gateway_link::requests(core::requests_wish wish,
                            std::function<void(result<core::snapshot_page>)> answer) {
  messages::query wanted;
  wanted.requests = std::move(wish);
  pending_query query;
  query.on_requests = std::move(answer);
  ask(std::move(wanted), std::move(query));
}

void gateway_link::explain(std::string external_id, explain_answer answer) {
  messages::query wanted;
  wanted.explain = external_id;
  ask(std::move(wanted), pending_query{0, nullptr, std::move(answer), external_id});
}

void gateway_link::explain(request_meta meta, explain_answer answer) {
  auto id = meta.external_id;
  messages::query wanted;
  wanted.dry_run = std::move(meta);
  ask(std::move(wanted), pending_query{0, nullptr, std::move(answer), std::move(id)});
}

void gateway_link::plan(core::plan_wish wish, explain_answer answer) {
  messages::query wanted;
  wanted.plan = std::move(wish);
  ask(std::move(wanted), pending_query{0, nullptr, std::move(answer), {}});
}

void gateway_link::reload_plugins(node_id node, duration_us timeout_us,
                                  std::function<void(result<gateway::reload_reports>)> answer) {
  messages::query wanted;
  wanted.reload = messages::node_wish{std::move(node), {}};
  pending_query query;
  query.on_reloads = std::move(answer);
  ask(std::move(wanted), std::move(query), timeout_us);
}

void gateway_link::list_plugins(node_id node, duration_us timeout_us,
                                std::function<void(result<gateway::plugins_reports>)> answer) {
  messages::query wanted;
  wanted.plugins = messages::node_wish{std::move(node), {}};
  pending_query query;
  query.on_plugins = std::move(answer);
  ask(std::move(wanted), std::move(query), timeout_us);
}

void gateway_link::subscribe(std::function<void(const core::command&)> listener) {
  const std::lock_guard lock(shared_->mutex);
  shared_->subscribers.push_back(std::move(listener));
}

void gateway_link::ask(messages::query wanted, pending_query query, duration_us timeout_us) {
  std::optional<error> failure;
  {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->speaking)
      failure = scheduler_away;
    else if (shared_->queries.size() >= limits::queries_max)
      failure
          = error{recovery::retry_later, "gateway_full", "too many unanswered queries; try again"};
    wanted.number = shared_->query_number + 1;
    if (!failure)
      failure = shared_->send(wanted);
    if (!failure) {
      query.due = shared_->options.clock() + timeout_us;
      shared_->queries[++shared_->query_number] = std::move(query);
      return;
    }
  }
  fail(query, *failure);
}

} // namespace consort::actors
