// SPDX-License-Identifier: Apache-2.0
// Attempts to and from attempt.capnp.
#include "messages/wire_messages.hpp"

namespace consort::messages {

namespace {

/// Writes one event into the union.
struct attempt_writer {
  wire::AttemptEvent::Builder to;
  outgoing& out;

  void operator()(const attempt_opened& from) {
    auto opened = to.initOpened();
    opened.setPromptTokens(from.prompt_tokens);
    opened.setCachedTokens(from.cached_tokens);
  }

  void operator()(const attempt_tokens& from) {
    auto tokens = to.initTokens();
    tokens.setChoice(out.number<std::uint32_t>(from.choice, 0, limits::choices_max - 1,
                                               "attempt_tokens.choice"));
    tokens.setText(out.text(from.text, "attempt_tokens.text", limits::token_text_bytes_max));
    write_numbers(out, from.token_ids, limits::token_ids_max, "attempt_tokens.token_ids",
                  [&](unsigned size) { return tokens.initTokenIds(size); });
    tokens.setExtraJson(
        out.text(from.extra_json, "attempt_tokens.extra_json", limits::token_text_bytes_max));
  }

  void operator()(const attempt_choice_done& from) {
    auto done = to.initChoiceDone();
    done.setChoice(out.number<std::uint32_t>(from.choice, 0, limits::choices_max - 1,
                                             "attempt_choice_done.choice"));
    done.setFinishReason(out.label(from.finish_reason, "attempt_choice_done.finish_reason"));
  }

  void operator()(const attempt_completed& from) {
    auto completed = to.initCompleted();
    write(completed.initUsage(), from.usage);
    completed.setBatch(from.batch);
    completed.setEngineQueueUs(
        out.duration(from.engine_queue_us, "attempt_completed.engine_queue_us"));
    if (from.energy_mj)
      completed.getEnergyMj().setEnergy(*from.energy_mj);
    if (from.cost_micros)
      completed.getCostMicros().setCost(*from.cost_micros);
  }

  void operator()(const attempt_aborted& from) {
    auto aborted = to.initAborted();
    write(aborted.initFailure(), from.failure, out);
    aborted.setDeviceFault(from.device_fault);
    if (from.energy_mj)
      aborted.getEnergyMj().setEnergy(*from.energy_mj);
    if (from.cost_micros)
      aborted.getCostMicros().setCost(*from.cost_micros);
    aborted.setRetryAfterUs(out.duration(from.retry_after_us, "attempt_aborted.retry_after_us"));
  }
};

attempt_opened take(wire::AttemptEvent::Opened::Reader from, incoming&) {
  return {from.getPromptTokens(), from.getCachedTokens()};
}

attempt_tokens take(wire::AttemptEvent::Tokens::Reader from, incoming& in) {
  attempt_tokens to;
  to.choice = in.number<std::uint32_t>(from.getChoice(), 0, limits::choices_max - 1,
                                       "attempt_tokens.choice");
  to.text = in.text(from.getText(), "attempt_tokens.text", limits::token_text_bytes_max);
  read_numbers(in, from.getTokenIds(), to.token_ids, limits::token_ids_max,
               "attempt_tokens.token_ids");
  to.extra_json
      = in.text(from.getExtraJson(), "attempt_tokens.extra_json", limits::token_text_bytes_max);
  return to;
}

attempt_choice_done take(wire::AttemptEvent::ChoiceDone::Reader from, incoming& in) {
  attempt_choice_done to;
  to.choice = in.number<std::uint32_t>(from.getChoice(), 0, limits::choices_max - 1,
                                       "attempt_choice_done.choice");
  to.finish_reason = in.label(from.getFinishReason(), "attempt_choice_done.finish_reason");
  return to;
}

attempt_completed take(wire::AttemptEvent::Completed::Reader from, incoming& in) {
  attempt_completed to;
  read(from.getUsage(), to.usage);
  to.batch = from.getBatch();
  to.engine_queue_us = in.duration(from.getEngineQueueUs(), "attempt_completed.engine_queue_us");
  if (from.getEnergyMj().isEnergy())
    to.energy_mj = from.getEnergyMj().getEnergy();
  if (from.getCostMicros().isCost())
    to.cost_micros = from.getCostMicros().getCost();
  return to;
}

attempt_aborted take(wire::AttemptEvent::Aborted::Reader from, incoming& in) {
  attempt_aborted to;
  read(from.getFailure(), to.failure, in);
  to.device_fault = from.getDeviceFault();
  if (from.getEnergyMj().isEnergy())
    to.energy_mj = from.getEnergyMj().getEnergy();
  if (from.getCostMicros().isCost())
    to.cost_micros = from.getCostMicros().getCost();
  to.retry_after_us = in.duration(from.getRetryAfterUs(), "attempt_aborted.retry_after_us");
  return to;
}

} // namespace

void write(wire::AttemptBody::Builder to, const attempt_body& from, outgoing& out) {
  to.setKind(out.word<wire::RequestKind>(from.kind, "attempt_body.kind"));
  to.setJson(out.data(from.json, "attempt_body.json", limits::json_bytes_max));
  to.setResumeText(
      out.text(from.resume.text, "attempt_body.resume.text", limits::resume_text_bytes_max));
  write_numbers(out, from.resume.token_ids, limits::resume_ids_max, "attempt_body.resume.token_ids",
                [&](unsigned size) { return to.initResumeIds(size); });
  to.setResumeTokens(from.resume.tokens);
}

void read(wire::AttemptBody::Reader from, attempt_body& to, incoming& in) {
  to.kind = in.word<request_kind>(from.getKind(), "attempt_body.kind");
  to.json = in.data(from.getJson(), "attempt_body.json", limits::json_bytes_max);
  to.resume.text
      = in.text(from.getResumeText(), "attempt_body.resume.text", limits::resume_text_bytes_max);
  read_numbers(in, from.getResumeIds(), to.resume.token_ids, limits::resume_ids_max,
               "attempt_body.resume.token_ids");
  to.resume.tokens = from.getResumeTokens();
}

void write(wire::AttemptEvent::Builder to, const attempt_event& from, outgoing& out) {
  std::visit(attempt_writer{to, out}, from);
}

void read(wire::AttemptEvent::Reader from, attempt_event& to, incoming& in) {
  using kind = wire::AttemptEvent::Which;
  switch (from.which()) {
  case kind::OPENED: to = take(from.getOpened(), in); return;
  case kind::TOKENS: to = take(from.getTokens(), in); return;
  case kind::CHOICE_DONE: to = take(from.getChoiceDone(), in); return;
  case kind::COMPLETED: to = take(from.getCompleted(), in); return;
  case kind::ABORTED: to = take(from.getAborted(), in); return;
  }
  in.unknown_kind("attempt_event", static_cast<unsigned>(from.which()));
}

encoded encode(const attempt_open& body) {
  return pack<wire::AttemptOpen>(frame_kind::attempt_open, [&](auto to, outgoing& out) {
    write(to.initTicket(), body.permission, out);
    write(to.initBody(), body.body, out);
  });
}

encoded encode(const attempt_event& body) {
  return pack<wire::AttemptEvent>(frame_kind::attempt_event,
                                  [&](auto to, outgoing& out) { write(to, body, out); });
}

result<attempt_open> decode_attempt_open(std::span<const char> bytes) {
  return unpack<wire::AttemptOpen, attempt_open>(frame_kind::attempt_open, bytes,
                                                 [](auto from, attempt_open& to, incoming& in) {
                                                   read(from.getTicket(), to.permission, in);
                                                   read(from.getBody(), to.body, in);
                                                 });
}

result<attempt_event> decode_attempt_event(std::span<const char> bytes) {
  return unpack<wire::AttemptEvent, attempt_event>(
      frame_kind::attempt_event, bytes,
      [](auto from, attempt_event& to, incoming& in) { read(from, to, in); });
}

} // namespace consort::messages
