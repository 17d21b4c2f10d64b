// SPDX-License-Identifier: Apache-2.0
#include "actors/gateway_link.hpp"

#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/spawn.hpp"

#include <spdlog/spdlog.h>

#include <mutex>

namespace consort::actors {

namespace {

using snapshot_answer = std::function<void(result<core::snapshot>)>;
using explain_answer = std::function<void(result<core::explanation>)>;
using listener_ptr = std::shared_ptr<gateway::request_listener>;

struct pending_query {
  time_us due = 0;
  snapshot_answer on_snapshot;
  explain_answer on_explanation;
  std::string explains; ///< Request that the explanation is of.
};

void fail(const pending_query& query, const error& failure) {
  if (query.on_snapshot)
    query.on_snapshot(failure);
  if (query.on_explanation)
    query.on_explanation(failure);
}

void answer(const pending_query& query, messages::query_answer& from) {
  if (query.on_snapshot)
    query.on_snapshot(from.snapshot
                          ? result<core::snapshot>(std::move(*from.snapshot))
                          : result<core::snapshot>(error{recovery::bug, "no_snapshot",
                                                         "the scheduler sent no snapshot"}));
  if (query.on_explanation)
    query.on_explanation(from.explanation ? result<core::explanation>(std::move(*from.explanation))
                                          : result<core::explanation>(error{
                                              recovery::refuse, "unknown_request",
                                              "no request `" + query.explains
                                                  + "`, or it is too long ago to be explained"}));
}

} // namespace

/// What the HTTP threads and the link actor share. Callbacks are copied out under the lock and
/// called without it.
struct gateway_link::shared {
  explicit shared(gateway_options opts) : options(std::move(opts)) {
    own.kind = messages::sender_kind::gateway;
    own.sender = "gateway";
    own.life = incarnation{options.id.value};
  }

  messages::envelope next_envelope() {
    const std::lock_guard lock(mutex);
    ++own.sequence;
    return own;
  }

  listener_ptr listener_of(const request_id& request) {
    const std::lock_guard lock(mutex);
    const auto found = listeners.find(request.sequence);
    return found == listeners.end() ? nullptr : found->second;
  }

  void forget(const request_id& request) {
    const std::lock_guard lock(mutex);
    listeners.erase(request.sequence);
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

  void deliver(const core::command& told);

  gateway_options options;
  std::mutex mutex;
  messages::envelope own;
  std::map<std::uint64_t, listener_ptr> listeners; ///< By request sequence.
  std::map<std::uint64_t, pending_query> queries;  ///< By query number.
  std::uint64_t query_number = 0;
  std::vector<std::function<void(const core::command&)>> subscribers;
};

void gateway_link::shared::deliver(const core::command& told) {
  std::visit(
      [this, &told](const auto& what) {
        using kind = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<kind, core::grant_ticket>) {
          if (const auto listener = listener_of(what.granted.attempt.request))
            listener->on_ticket(what);
        } else if constexpr (std::is_same_v<kind, core::drop_attempt>) {
          if (const auto listener = listener_of(what.attempt.request))
            listener->on_drop(what);
        } else if constexpr (std::is_same_v<kind, core::queue_notice>) {
          if (const auto listener = listener_of(what.request))
            listener->on_queue(what);
        } else if constexpr (std::is_same_v<kind, core::reject_request>) {
          const auto listener = listener_of(what.request);
          forget(what.request);
          if (listener)
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

/// The actor behind the port: decodes what the scheduler sends and sweeps overdue queries.
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
        [this](expire_tick) {
          expire();
          sweep_later();
        },
    };
  }

private:
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
    if (const auto query = shared_->take_query(reply->body.number))
      answer(*query, reply->body);
  }

  void receive_welcome(const frame& incoming) {
    const auto welcome = messages::decode_hello_answer(incoming.bytes);
    if (welcome && welcome->body.refusal)
      spdlog::error("gateway: the scheduler refused it: {}", welcome->body.refusal->message);
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
};

} // namespace

gateway_link::gateway_link(caf::actor_system& system, caf::actor scheduler, gateway_options options)
    : shared_(std::make_shared<shared>(std::move(options))),
      scheduler_(std::move(scheduler)),
      link_(spawn_state<link_state<shared>>(system, shared_)) {
  messages::hello hello;
  hello.cluster = shared_->options.cluster;
  hello.join_token = shared_->options.join_token;
  auto encoded = to_frame(shared_->next_envelope(), hello);
  if (encoded)
    post_as(link_, scheduler_, std::move(*encoded));
  else
    spdlog::error("gateway: cannot say hello: {}", encoded.failure().message);
}

gateway_link::~gateway_link() {
  stop(link_);
}

gateway_id gateway_link::id() const {
  return shared_->options.id;
}

time_us gateway_link::now() const {
  return shared_->options.clock();
}

void gateway_link::submit(request_meta meta, listener_ptr listener) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->listeners.size() < shared_->options.listeners_max) {
      shared_->listeners[meta.id.sequence] = listener;
      listener = nullptr;
    }
  }
  core::reject_request rejected;
  rejected.request = meta.id;
  if (listener) {
    rejected.http_status = 429;
    rejected.reason
        = error{recovery::retry_later, "gateway_full", "this gateway has too many requests open"};
    rejected.retry_after_us = limits::query_timeout_us;
    return listener->on_reject(rejected);
  }
  const auto unsendable = send_event(core::request_submitted{std::move(meta)});
  if (!unsendable)
    return;
  rejected.http_status = 400;
  rejected.reason = *unsendable;
  listener = shared_->listener_of(rejected.request);
  shared_->forget(rejected.request);
  listener->on_reject(rejected);
}

void gateway_link::report(gateway::gateway_report happened) {
  if (const auto* cancelled = std::get_if<core::request_cancelled>(&happened))
    shared_->forget(cancelled->request);
  if (const auto* finished = std::get_if<core::attempt_finished>(&happened))
    shared_->forget(finished->attempt.request);
  const auto unsendable
      = std::visit([this](auto&& what) { return send_event(core::event(std::move(what))); },
                   std::move(happened));
  if (unsendable)
    spdlog::error("gateway: cannot encode a report: {}", unsendable->message);
}

void gateway_link::admin(gateway::admin_request wanted, std::function<void(result<done>)> answer) {
  const auto unsendable = std::visit(
      [this](auto&& what) { return send_event(core::event(std::move(what))); }, std::move(wanted));
  answer(unsendable ? result<done>(*unsendable) : result<done>(done{}));
}

void gateway_link::snapshot(snapshot_answer answer) {
  messages::query wanted;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->queries.size() < limits::queries_max) {
      wanted.number = ++shared_->query_number;
      shared_->queries[wanted.number]
          = pending_query{now() + limits::query_timeout_us, std::move(answer), nullptr, {}};
    }
  }
  if (wanted.number == 0)
    return answer(
        error{recovery::retry_later, "gateway_full", "too many unanswered queries; try again"});
  send_query(std::move(wanted));
}

void gateway_link::explain(std::string external_id, explain_answer answer) {
  messages::query wanted;
  wanted.explain = external_id;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->queries.size() < limits::queries_max) {
      wanted.number = ++shared_->query_number;
      shared_->queries[wanted.number] = pending_query{now() + limits::query_timeout_us, nullptr,
                                                      std::move(answer), std::move(external_id)};
    }
  }
  if (wanted.number == 0)
    return answer(
        error{recovery::retry_later, "gateway_full", "too many unanswered queries; try again"});
  send_query(std::move(wanted));
}

void gateway_link::subscribe(std::function<void(const core::command&)> listener) {
  const std::lock_guard lock(shared_->mutex);
  shared_->subscribers.push_back(std::move(listener));
}

std::optional<error> gateway_link::send_event(const core::event& happened) {
  auto encoded = to_frame(shared_->next_envelope(), happened);
  if (!encoded)
    return encoded.failure();
  post_as(link_, scheduler_, std::move(*encoded));
  return std::nullopt;
}

void gateway_link::send_query(messages::query wanted) {
  auto encoded = to_frame(shared_->next_envelope(), wanted);
  if (!encoded)
    return spdlog::error("gateway: cannot encode a query: {}", encoded.failure().message);
  post_as(link_, scheduler_, std::move(*encoded));
}

} // namespace consort::actors
