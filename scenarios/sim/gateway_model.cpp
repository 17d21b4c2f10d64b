// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/gateway_model.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace consort::sim {

namespace {

/// Room for the tokens of an answer that is made at once; a longer one grows.
constexpr std::size_t tokens_reserved = 4'096;

/// What stands for a prompt's text: its sizes, and the hashes of its blocks.
std::string body_of(std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                    const client_prompt& prompt) {
  auto made = "{\"prompt_tokens\":" + std::to_string(prompt_tokens)
              + ",\"max_tokens\":" + std::to_string(output_tokens);
  if (!prompt.prefix.empty()) {
    made += ",\"block_tokens\":" + std::to_string(prompt.prefix_tokens) + ",\"blocks\":[";
    for (const auto hash : prompt.prefix)
      made += std::to_string(hash) + ",";
    made.back() = ']';
  }
  return made + "}";
}

} // namespace

gateway_model::gateway_model(event_heap& heap, network& links, const observer_list& watchers)
    : heap_(heap), links_(links), watchers_(watchers) {
  links_.attach(gateway_address, *this);
}

request_id gateway_model::submit(request_meta meta, std::uint32_t output_tokens,
                                 client_prompt prompt,
                                 const std::function<void(const request_id&)>& known) {
  meta.id = {id_, ++submitted_};
  if (known)
    known(meta.id);
  // Watchers first: what follows may end the request at once.
  watchers_.each([&](observer& watcher) { watcher.on_submitted(meta, heap_.now()); });
  auto& one = requests_[meta.id];
  one.meta = meta;
  one.output_tokens = output_tokens;
  one.prompt = std::move(prompt);
  one.submitted_at = heap_.now();
  tell(core::request_submitted{meta});
  return meta.id;
}

void gateway_model::leave(const request_id& id) {
  const auto found = requests_.find(id);
  if (found == requests_.end())
    return;
  end_all(found->second);
  tell(core::request_cancelled{id, "the client left"});
  answer(id, request_outcome::cancelled, "client_left");
}

void gateway_model::reconnect() {
  linked_ = true;
  for (const auto& [id, one] : requests_) {
    core::request_restored told;
    told.meta = one.meta;
    if (told.meta.deadline_us)
      *told.meta.deadline_us
          = std::max<duration_us>(*told.meta.deadline_us - (heap_.now() - one.submitted_at), 1);
    told.attempts = one.attempts;
    told.emitted_tokens = static_cast<std::uint32_t>(one.token_ids.size());
    if (one.stream != control_channel)
      told.running = one.current;
    tell(told);
  }
  tell(core::gateway_restored{id_});
}

void gateway_model::tell(core::event happened) {
  if (!linked_)
    return; // What matters is told anew on the next link.
  if (links_.plain())
    return links_.hand_over(gateway_address, scheduler_address, control_channel,
                            std::move(happened));
  const messages::envelope from{.kind = messages::sender_kind::gateway,
                                .sender = "gateway",
                                .life = incarnation(id_.value),
                                .sequence = ++sequence_};
  const auto payload = messages::encode(from, happened);
  if (payload)
    links_.send(gateway_address, scheduler_address, control_channel, messages::frame_kind::event,
                *payload);
  else
    broken_ = "an event cannot be encoded: " + payload.failure().message;
}

void gateway_model::on_frame(address, channel stream, const messages::frame& received) {
  if (received.kind == messages::frame_kind::command) {
    const auto wanted = messages::decode_command(received.payload);
    if (!wanted) {
      broken_ = "the gateway could not decode a frame: " + wanted.failure().message;
      return;
    }
    return obey(wanted->body);
  }
  const auto happened = messages::decode_attempt_event(received.payload);
  if (!happened)
    broken_ = "the gateway could not decode a frame: " + happened.failure().message;
  else
    on_stream(stream, *happened);
}

void gateway_model::on_parcel(address, channel stream, const parcel& received) {
  if (const auto* wanted = std::get_if<core::command>(&received))
    obey(*wanted);
  else
    on_stream(stream, std::get<attempt_event>(received));
}

void gateway_model::on_stream(channel stream, const attempt_event& happened) {
  auto* one = by_stream(stream);
  if (one != nullptr && one->hedge && one->hedge->stream == stream)
    on_hedge(*one, happened);
  else if (one != nullptr)
    on_attempt(*one, happened);
}

void gateway_model::obey(const core::command& wanted) {
  std::visit(
      [this](const auto& body) {
        if constexpr (requires { this->on(body); })
          on(body);
      },
      wanted);
}

gateway_model::request* gateway_model::by_stream(channel stream) {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second;
}

void gateway_model::on_closed(address from, channel stream) {
  if (from == scheduler_address) {
    linked_ = false;
    return;
  }
  const error lost{recovery::retry_elsewhere, data_link_lost, "the connection was reset"};
  if (stream != control_channel) {
    if (auto* one = by_stream(stream))
      one->hedge && one->hedge->stream == stream ? fail_hedge(*one, lost, true)
                                                 : fail_attempt(*one, lost, true);
    return;
  }
  for (auto& [id, one] : requests_) { // The node's process died: every stream to it is reset.
    if (one.hedge && addresses_.at(one.hedge->current.node.value) == from)
      fail_hedge(one, lost, true);
    if (one.stream != control_channel && addresses_.at(one.current.node.value) == from)
      fail_attempt(one, lost, true);
  }
}

void gateway_model::on(const core::grant_ticket& granted) {
  const auto& permission = granted.granted;
  const auto found = requests_.find(permission.attempt.request);
  if (found == requests_.end()) { // Answered or forgotten in the meantime.
    tell(core::request_cancelled{permission.attempt.request, "no client waits for it"});
    return;
  }
  auto& one = found->second;
  if (permission.attempt.number <= one.attempts)
    return; // It came twice.
  one.attempts = permission.attempt.number;
  if (granted.hedge && one.stream != control_channel) {
    // With a token there already the scheduler is about to give it up.
    if (!one.first_token_at)
      begin(one, one.hedge.emplace(), permission);
    return;
  }
  end_all(one);
  if (forgetting_ > 0) {
    --forgetting_;
    requests_.erase(found);
    return;
  }
  begin(one, one, permission);
}

void gateway_model::begin(request& one, running_attempt& seat, const ticket& permission) {
  seat = {};
  seat.current = permission;
  seat.stream = ++last_stream_;
  seat.granted_at = seat.progress_at = heap_.now();
  streams_[seat.stream] = &one;
  messages::attempt_open opening;
  opening.permission = permission;
  opening.body.kind = one.meta.kind;
  // A resume hands over what the client already has; the node continues after it.
  opening.body.resume.token_ids = one.token_ids;
  open(one, seat, std::move(opening));
  heap_.after(limits::open_timeout_us,
              [this, attempt = permission.attempt] { time_out_open(attempt); });
}

void gateway_model::open(const request& one, const running_attempt& seat,
                         messages::attempt_open opening) {
  const auto to = addresses_.at(seat.current.node.value);
  if (links_.plain())
    return links_.hand_over(
        gateway_address, to, seat.stream,
        plain_open{std::move(opening), one.prompt, one.meta.prompt_tokens, one.output_tokens});
  opening.body.json = body_of(one.meta.prompt_tokens, one.output_tokens, one.prompt);
  const auto payload = messages::encode(opening);
  if (payload)
    links_.send(gateway_address, to, seat.stream, messages::frame_kind::attempt_open, *payload);
  else
    broken_ = "a ticket cannot be opened: " + payload.failure().message;
}

void gateway_model::time_out_open(const attempt_id& attempt) {
  const auto found = requests_.find(attempt.request);
  if (found == requests_.end())
    return;
  auto& one = found->second;
  const error late{recovery::retry_elsewhere, "open_timeout", "the node did not answer"};
  if (one.hedge && one.hedge->current.attempt == attempt && !one.hedge->opened)
    fail_hedge(one, late, true);
  else if (one.current.attempt == attempt && !one.opened)
    fail_attempt(one, late, true);
}

void gateway_model::on(const core::drop_attempt& dropped) {
  const auto found = requests_.find(dropped.attempt.request);
  if (found == requests_.end())
    return;
  auto& one = found->second;
  if (one.current.attempt == dropped.attempt) {
    end_attempt(one);
  } else if (one.hedge && one.hedge->current.attempt == dropped.attempt) {
    close(*one.hedge);
    one.hedge.reset();
  }
}

void gateway_model::on(const core::reject_request& rejected) {
  const auto found = requests_.find(rejected.request);
  if (found == requests_.end())
    return;
  end_all(found->second);
  const auto outcome = rejected.http_status == 408   ? request_outcome::expired
                       : rejected.http_status == 502 ? request_outcome::failed
                                                     : request_outcome::rejected;
  answer(rejected.request, outcome, rejected.reason.code);
}

/// The core ended a request without a word to its client, which is right only after the client's
/// own end.
void gateway_model::on(const core::record_request& record) {
  if (requests_.count(record.request) == 0 || record.code == "gateway_lost")
    return;
  broken_ = "request " + record.external_id + " was recorded while its client still waits";
}

/// What it brings makes it the current attempt.
void gateway_model::on_hedge(request& one, const attempt_event& happened) {
  if (std::holds_alternative<attempt_opened>(happened)) {
    one.hedge->opened = true;
    return tell(core::attempt_started{one.hedge->current.attempt});
  }
  if (const auto* aborted = std::get_if<attempt_aborted>(&happened))
    return fail_hedge(one, aborted->failure, aborted->device_fault);
  end_attempt(one);
  on_attempt(one, happened);
}

void gateway_model::on_attempt(request& one, const attempt_event& happened) {
  const bool brings = !std::holds_alternative<attempt_opened>(happened)
                      && !std::holds_alternative<attempt_aborted>(happened);
  if (brings && one.hedge) {
    close(*one.hedge);
    one.hedge.reset();
  }
  if (std::holds_alternative<attempt_opened>(happened)) {
    one.opened = true;
    tell(core::attempt_started{one.current.attempt});
  } else if (const auto* tokens = std::get_if<attempt_tokens>(&happened)) {
    on_tokens(one, *tokens);
  } else if (const auto* completed = std::get_if<attempt_completed>(&happened)) {
    on_completed(one, *completed);
  } else if (const auto* aborted = std::get_if<attempt_aborted>(&happened)) {
    fail_attempt(one, aborted->failure, aborted->device_fault);
  }
}

void gateway_model::on_tokens(request& one, const attempt_tokens& tokens) {
  const auto now = heap_.now();
  if (one.token_ids.empty())
    one.token_ids.reserve(std::min<std::size_t>(one.output_tokens, tokens_reserved));
  one.token_ids.insert(one.token_ids.end(), tokens.token_ids.begin(), tokens.token_ids.end());
  const auto count = static_cast<std::uint32_t>(tokens.token_ids.size());
  watchers_.each(
      [&](observer& watcher) { watcher.on_tokens(one.meta.id, one.current.device, count, now); });
  // The first token is reported at once, later ones are batched, as production does.
  if (!one.first_token_at)
    one.first_token_at = now;
  else if (now - one.progress_at < limits::progress_every_us)
    return;
  one.progress_at = now;
  tell(core::attempt_progressed{one.current.attempt,
                                static_cast<std::uint32_t>(one.token_ids.size())});
}

void gateway_model::on_completed(request& one, const attempt_completed& completed) {
  attempt_measurement measured;
  measured.usage = completed.usage;
  measured.first_token_us = one.first_token_at.value_or(heap_.now()) - one.granted_at;
  measured.total_us = heap_.now() - one.granted_at;
  measured.batch = completed.batch;
  measured.engine_queue_us = completed.engine_queue_us;
  measured.energy_mj = completed.energy_mj;
  tell(core::attempt_finished{one.current.attempt, measured});
  const auto id = one.meta.id;
  // The node closed the stream by completing it.
  streams_.erase(one.stream);
  answer(id, request_outcome::finished, "");
}

void gateway_model::fail_attempt(request& one, error failure, bool device_fault) {
  const auto attempt = one.current.attempt;
  end_attempt(one);
  tell(core::attempt_failed{attempt, std::move(failure),
                            static_cast<std::uint32_t>(one.token_ids.size()), device_fault});
}

void gateway_model::fail_hedge(request& one, error failure, bool device_fault) {
  const auto attempt = one.hedge->current.attempt;
  close(*one.hedge);
  one.hedge.reset();
  tell(core::attempt_failed{attempt, std::move(failure), 0, device_fault});
}

/// Closes its stream; later frames of it are dropped.
void gateway_model::close(running_attempt& seat) {
  if (seat.stream == control_channel)
    return;
  links_.close(gateway_address, addresses_.at(seat.current.node.value), seat.stream);
  streams_.erase(seat.stream);
  seat.stream = control_channel;
  seat.current = {};
}

/// The current attempt is over; what runs beside it takes its place.
void gateway_model::end_attempt(request& one) {
  close(one);
  if (one.hedge)
    static_cast<running_attempt&>(one) = *std::exchange(one.hedge, {});
}

void gateway_model::end_all(request& one) {
  end_attempt(one);
  end_attempt(one);
}

void gateway_model::answer(const request_id& id, request_outcome outcome, const std::string& code) {
  const auto found = requests_.find(id);
  assert(found != requests_.end());
  // Out of the table before watchers look: a live count never includes an answered request.
  const client_answer ended{id, outcome, code, std::move(found->second.token_ids),
                            found->second.output_tokens};
  requests_.erase(found);
  watchers_.each([&](observer& watcher) { watcher.on_answered(ended, heap_.now()); });
}

} // namespace consort::sim
