// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_attempt.hpp"

#include "links/channel.hpp"
#include "node/runtimes/believed_usage.hpp"
#include "node/runtimes/key_mask.hpp"
#include "node/runtimes/kv_transfer.hpp"
#include "node/runtimes/openai_embeddings.hpp"
#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/rate_gate.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cassert>
#include <ctime>

namespace consort::node {

using links::task;

namespace {

std::unique_ptr<server_http> stage_at(const boost::asio::any_io_executor& strand,
                                      const server_address* at) {
  return at == nullptr ? nullptr : std::make_unique<server_http>(strand, *at);
}

/// Why a server that has not all routes of the protocol is not asked; nothing when it is.
std::optional<error> unanswered(const server_spec& spec, request_kind kind) {
  if ((kind == request_kind::completion && !spec.completions)
      || (kind == request_kind::chat && !spec.chats))
    return error{recovery::retry_elsewhere, "kind_unsupported",
                 spec.plugin + ": its server answers "
                     + (spec.chats ? "chats only, no completions" : "completions only, no chats")};
  return std::nullopt;
}

} // namespace

server_attempt::server_attempt(const boost::asio::any_io_executor& strand, const server_call& how,
                               std::shared_ptr<attempt_sink> sink,
                               std::function<void(server_word)> heard)
    : how_(how),
      http_(strand, how.at),
      encoder_(stage_at(strand, how.encode)),
      first_(stage_at(strand, how.prefill)),
      sink_(std::move(sink)),
      heard_(std::move(heard)) {}

void server_attempt::stop(attempt_aborted why) {
  stopped_ = true;
  deliver({std::move(why)});
  http_.cut();
  for (const auto& stage : {encoder_.get(), first_.get()})
    if (stage != nullptr)
      stage->cut();
}

task<void> server_attempt::run(const attempt_body& body) {
  body_ = &body;
  if (!stopped_)
    co_await relay(body);
  body_ = nullptr;
  http_.cut();
}

task<void> server_attempt::relay(const attempt_body& body) {
  auto request = render_server_request(how_.spec.protocol, body, how_.model);
  const auto never = request ? unanswered(how_.spec, body.kind) : request.failure();
  if (never) {
    deliver({attempt_aborted{*never, false}});
    co_return;
  }
  request->path = http_.api(request->path);
  embeds_ = request->embeddings > 0;
  if (how_.plain)
    request->body = plain_body(request->body);
  if (!embeds_) {
    const bool staged = co_await stages(*request);
    if (!staged)
      co_return; // Its end has been delivered.
  }
  if (!embeds_ && !how_.spec.capabilities.streaming
      && how_.spec.protocol == server_protocol::openai)
    request->body = whole_body(request->body);
  const auto status
      = co_await http_.ask(request->path, request->body, how_.spec.silence_us, taken());
  if (stopped_)
    co_return;
  if (!status) {
    auto failure = status.failure();
    // It was sent nothing, and may be on its way back: who would rather wait may.
    const bool unasked = failure.code == "server_unreachable";
    if (unasked)
      failure.action = recovery::retry_later;
    deliver({attempt_aborted{std::move(failure), !unasked}});
    co_return;
  }
  heard_({*status, http_.headers()});
  if (*status != 200) {
    co_await refuse(*status);
    co_return;
  }
  const auto answer = make_server_answer(*request);
  answer->begin(http_.event_stream());
  std::vector<char> piece(limits::server_read_bytes);
  while (!answer->ended() && !stopped_) {
    deliver(answer->take());
    const auto got = co_await http_.read(piece, how_.spec.silence_us);
    if (stopped_)
      co_return;
    if (!got) {
      deliver({attempt_aborted{got.failure(), true}});
      co_return;
    }
    *got > 0 ? answer->feed({piece.data(), *got}) : answer->finish();
  }
  deliver(answer->take());
}

task<void> server_attempt::refuse(unsigned status) {
  asked_ = false;
  const auto said
      = co_await http_.read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
  if ((status == 400 || status == 422) && !how_.plain && refuses_field(said, "stream_options")) {
    how_.plain = true;
    deliver({attempt_aborted{{recovery::retry_later, "server_options",
                              how_.spec.plugin
                                  + ": its server refuses `stream_options`, and is asked "
                                    "without them from now on"},
                             false}});
    co_return;
  }
  if (const auto elsewhere = redirect_words(status, http_.location(), how_.spec.plugin);
      !elsewhere.empty()) {
    auto moved = judge_refusal(status, {});
    moved.failure.message = "the model server answered " + std::to_string(status) + elsewhere;
    deliver({std::move(moved)});
    co_return;
  }
  const auto wait = read_retry_after(http_.headers(), std::time(nullptr));
  auto judged = embeds_ ? judge_embeddings_refusal(status, said) : judge_refusal(status, said);
  if (judged.failure.action == recovery::retry_later)
    judged.retry_after_us = wait.value_or(0);
  deliver({std::move(judged)});
}

/// Has what is to be seen or heard encoded, then the prompt prefilled, where others do that, and
/// tells the last server where its KV cache is. Returns: whether that one is to be asked.
task<bool> server_attempt::stages(server_request& asked) {
  if (const auto shown = encoder_ ? encode_body(asked.body) : std::nullopt)
    if (!co_await stage(*encoder_, how_.encoding, asked.path, *shown))
      co_return false;
  if (!first_ || stopped_)
    co_return !stopped_;
  const auto said = co_await stage(*first_, how_.prefilling, asked.path, prefill_body(asked.body));
  if (said && !stopped_)
    asked.body = decode_body(asked.body, *said);
  co_return said && !stopped_;
}

/// Asks the server of one stage, if it is worth it. Returns: its answer; nothing in it where it
/// failed for its own sake, and then the next stage does its work, too; an error once the attempt
/// has ended.
task<result<std::string>> server_attempt::stage(server_http& at, stage_watch& watch,
                                                const std::string& path, const std::string& body) {
  if (!watch.may_ask(links::steady_now_us())) {
    how_.staged();
    co_return std::string();
  }
  auto said = co_await ask_stage(at, watch, path, body);
  how_.staged();
  co_return said;
}

task<result<std::string>> server_attempt::ask_stage(server_http& at, stage_watch& watch,
                                                    const std::string& path,
                                                    const std::string& body) {
  const auto patience
      = std::min(stage_wait(body.size(), how_.prefill_tokens_per_s), how_.spec.silence_us);
  const auto status = co_await at.ask(path, body, patience, taken());
  std::string said;
  if (!stopped_ && status)
    said = co_await at.read_text(limits::server_refusal_bytes_max,
                                 std::min(patience, limits::server_answer_us));
  if (stopped_) {
    watch.left();
    co_return std::string();
  }
  // A page of somebody else's is no answer, whatever its status.
  const bool good = status && *status == 200 && read_server_json(said).is_object();
  if (good) {
    watch.answered();
    co_return said;
  }
  auto judged = status && *status != 200 ? judge_refusal(*status, said) : attempt_aborted{};
  judged.failure.message = without_key(std::move(judged.failure.message), how_.at.key);
  if (!status || *status == 200 || judged.failure.action != recovery::refuse) {
    const auto why = !status          ? status.failure().message
                     : *status == 200 ? "its answer is no JSON object"
                                      : judged.failure.message;
    watch.failed(links::steady_now_us(), why,
                 status && *status != 200 ? read_retry_after(at.headers(), std::time(nullptr))
                                          : std::nullopt);
    co_return std::string();
  }
  watch.answered();
  const auto why = judged.failure;
  deliver({std::move(judged)});
  co_return why;
}

std::function<void()> server_attempt::taken() {
  return [this] {
    asked_ = true;
    deliver({attempt_opened{}});
  };
}

/// Once for each attempt: it completes once.
void server_attempt::check_usage(attempt_completed& end) {
  assert(body_ != nullptr);
  const auto found = believe(end.usage, *body_, pieces_);
  if (found.doubted)
    how_.doubt(end.usage);
  end.usage = found.told;
  usage_ = found.charged;
}

/// What was never asked for costs nothing, and neither does what was refused; what was cut off, the
/// server knows alone.
void server_attempt::tell_cost(attempt_event& end) {
  if (auto* completed = std::get_if<attempt_completed>(&end))
    check_usage(*completed);
  if (!how_.bill)
    return;
  if (auto* completed = std::get_if<attempt_completed>(&end))
    completed->cost_micros = how_.bill(usage_.value_or(completed->usage));
  else if (auto* aborted = std::get_if<attempt_aborted>(&end); aborted != nullptr && !asked_)
    aborted->cost_micros = 0;
}

/// All of an attempt's servers are sent the same key.
void server_attempt::mask(attempt_event& said) const {
  const auto& key = how_.at.key;
  if (auto* aborted = std::get_if<attempt_aborted>(&said)) {
    aborted->failure.message = without_key(std::move(aborted->failure.message), key);
  } else if (auto* piece = std::get_if<attempt_tokens>(&said)) {
    piece->text = text_without_key(std::move(piece->text), key);
    piece->extra_json = text_without_key(std::move(piece->extra_json), key);
  }
}

void server_attempt::deliver(std::vector<attempt_event> happened) {
  for (auto& event : happened) {
    if (!sink_)
      return;
    if (std::holds_alternative<attempt_opened>(event) && std::exchange(opened_, true))
      continue; // The answer's own, once it has a head.
    const bool piece = !embeds_ && std::holds_alternative<attempt_tokens>(event);
    pieces_ += piece ? 1 : 0;
    how_.generated += piece ? 1 : 0;
    tell_cost(event);
    mask(event);
    const auto* completed = std::get_if<attempt_completed>(&event);
    const bool last = completed != nullptr || std::holds_alternative<attempt_aborted>(event);
    const auto sink = last ? std::move(sink_) : sink_;
    if (last)
      sink_ = nullptr;
    sink->on_event(std::move(event));
  }
}

} // namespace consort::node
