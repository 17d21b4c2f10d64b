// SPDX-License-Identifier: Apache-2.0
// What a request does with the events that arrive; how it begins and ends is in serve.cpp.
#include "gateway/inference.hpp"

#include "gateway/admin_json.hpp"
#include "gateway/embeddings.hpp"
#include "gateway/log.hpp"

#include <algorithm>
#include <utility>

namespace consort::gateway {

namespace {

duration_us between(steady_time from, steady_time to) {
  return std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
}

} // namespace

api_error answer_too_large(std::size_t bytes_max, request_kind kind) {
  return {.status = 502,
          .code = "answer_too_large",
          .message
          = "the answer exceeds " + std::to_string(bytes_max) + " bytes; "
            + (kind == request_kind::embedding ? "send fewer inputs" : "ask for it as a stream")};
}

void inference::handle(const core::grant_ticket& granted) {
  const auto& permission = granted.granted;
  if (granted.hedge && current_)
    return open_hedge(permission);
  if (current_)
    close_attempt(attempt_end::dropped); // The scheduler gave up on it without saying so.
  attempts_ = permission.attempt.number;
  device_ = permission.device.value;
  model_ = permission.model.empty() ? parsed_.model.value : permission.model.value;
  if (series_ == nullptr) {
    series_ = &context_.figures.of_model(model_name(model_));
    queued_us_ = between(started_, std::chrono::steady_clock::now());
    series_->queued.Observe(seconds(queued_us_));
  }
  if (granted.resumed)
    exact_ = exact_.value_or(true) && granted.exact;
  open_attempt(granted);
}

void inference::open_attempt(const core::grant_ticket& granted) {
  const auto& permission = granted.granted;
  const auto now = std::chrono::steady_clock::now();
  current_ = permission;
  start_reported_ = chosen_ = false;
  attempt_first_token_at_.reset();
  opened_at_ = last_event_at_ = now;
  if (head_sent_ && tokens_ > 0 && !meta_.resumable)
    return fail_attempt({recovery::refuse, "not_resumable",
                         "the device failed in the middle of an answer that cannot be continued"},
                        false, 0, 0);
  // Nothing was shown yet: unless told to continue, the answer starts anew.
  if (!head_sent_ && !granted.resumed) {
    emitted_ = {};
    tokens_ = 0;
    done_choices_.clear();
    exact_.reset();
    if (builder_)
      builder_->reset();
  }
  auto* service = context_.resolve(permission);
  if (service == nullptr)
    return fail_attempt({recovery::retry_elsewhere, "node_unreachable",
                         "the data port of " + permission.node.value + " cannot be reached"},
                        true, 0, 0);
  charged_ = told_ids_ = false;
  earlier_tokens_ = tokens_;
  stream_ = service->open(permission, {meta_.kind, body_, emitted_},
                          std::make_shared<bridge_sink>(box_, permission.attempt));
}

void inference::open_hedge(const ticket& permission) {
  // What the current attempt brought is on its way to the scheduler, which gives the hedge up then.
  if (chosen_ || hedge_)
    return;
  attempts_ = permission.attempt.number;
  auto* service = context_.resolve(permission);
  if (service == nullptr)
    return context_.port.report(
        core::attempt_failed{permission.attempt,
                             {recovery::retry_elsewhere, "node_unreachable",
                              "the data port of " + permission.node.value + " cannot be reached"},
                             0,
                             true,
                             0,
                             0});
  hedge_.emplace();
  hedge_->permission = permission;
  hedge_->opened_at = std::chrono::steady_clock::now();
  hedge_->stream = service->open(permission, {meta_.kind, body_, emitted_},
                                 std::make_shared<bridge_sink>(box_, permission.attempt));
}

/// What it brings makes it the current attempt; nothing else of it matters.
void inference::handle_hedge(attempt_frame& frame) {
  const auto* aborted = std::get_if<attempt_aborted>(&frame.happened);
  const bool refused = aborted != nullptr && aborted->failure.action == recovery::refuse
                       && !aborted->device_fault && aborted->failure.code != "cancelled";
  if (aborted != nullptr && !refused) {
    charge({aborted->energy_mj, aborted->cost_micros}, hedge_->charged);
    context_.port.report(
        core::attempt_failed{frame.attempt, aborted->failure, 0,
                             aborted->device_fault && aborted->failure.code != "cancelled",
                             aborted->retry_after_us, aborted->cost_micros});
    return close_hedge(attempt_end::failed);
  }
  if (const auto* opened = std::get_if<attempt_opened>(&frame.happened)) {
    if (!hedge_->opened)
      context_.port.report(core::attempt_started{frame.attempt});
    hedge_->opened = *opened;
    return;
  }
  prefer_hedge(attempt_end::dropped);
  handle(frame);
}

void inference::close_hedge(attempt_end reason) {
  if (!hedge_)
    return;
  charge({}, hedge_->charged);
  hedge_.reset();
  context_.figures.count(reason);
}

/// The current attempt ends, the hedge takes its place.
void inference::prefer_hedge(attempt_end reason) {
  context_.figures.count(reason);
  charge({}, charged_);
  auto winner = std::move(*hedge_);
  hedge_.reset();
  charged_ = winner.charged;
  stream_ = std::move(winner.stream);
  device_ = winner.permission.device.value;
  current_ = std::move(winner.permission);
  opened_at_ = winner.opened_at;
  last_event_at_ = std::chrono::steady_clock::now();
  start_reported_ = winner.opened.has_value();
  if (earlier_tokens_ == 0)
    prompt_tokens_ = cached_tokens_ = 0; // It was the first one that had told.
  if (winner.opened)
    handle_event(*winner.opened, last_event_at_);
}

/// What runs beside it goes on; else another ticket may come.
void inference::end_attempt(attempt_end reason) {
  hedge_ ? prefer_hedge(reason) : close_attempt(reason);
}

void inference::handle(const core::drop_attempt& dropped) {
  if (hedge_ && hedge_->permission.attempt == dropped.attempt)
    return close_hedge(attempt_end::dropped);
  if (!current_ || current_->attempt != dropped.attempt)
    return;
  log().info("request {}: attempt {} dropped: {}", meta_.external_id, dropped.attempt.number,
             dropped.reason);
  if (is_whole())
    return complete_unsaid({}, last_event_at_);
  end_attempt(attempt_end::dropped);
}

void inference::handle(const core::queue_notice& notice) {
  notice_ = notice;
  log().debug("request {}: {}: {}", meta_.external_id, notice.state, notice.reason);
}

void inference::handle(const core::reject_request& rejected) {
  close_attempt(attempt_end::dropped);
  if (!failure_)
    failure_ = from_reject(rejected);
  end(rejected.http_status == 408   ? request_end::expired
      : rejected.http_status == 502 ? request_end::failed
                                    : request_end::rejected);
}

void inference::handle(attempt_frame& frame) {
  if (hedge_ && frame.attempt == hedge_->permission.attempt)
    return handle_hedge(frame);
  if (!current_ || frame.attempt != current_->attempt)
    return; // Of an attempt that no longer counts.
  last_event_at_ = frame.at;
  if (!std::holds_alternative<attempt_opened>(frame.happened)
      && !std::holds_alternative<attempt_aborted>(frame.happened)) {
    chosen_ = true;
    close_hedge(attempt_end::dropped);
  }
  if (!start_reported_ && !std::holds_alternative<attempt_aborted>(frame.happened)) {
    start_reported_ = true;
    context_.port.report(core::attempt_started{current_->attempt});
  }
  std::visit([&](auto& happened) { handle_event(happened, frame.at); }, frame.happened);
}

/// A resumed attempt's prompt ends with what earlier ones emitted, which its engine counts as a
/// part of it and the client as a part of the answer. Returns: the client's own. Nothing is taken
/// from a count that cannot hold both, as of a server that leaves what it goes on with out.
std::uint32_t inference::own_prompt(std::uint32_t told) const {
  return told > earlier_tokens_ ? told - earlier_tokens_ : told;
}

void inference::handle_event(const attempt_opened& opened, steady_time) {
  // The first count is the true one: pieces of an answer may be fewer than its tokens.
  if (prompt_tokens_ == 0) {
    prompt_tokens_ = own_prompt(opened.prompt_tokens);
    cached_tokens_ = std::min(opened.cached_tokens, prompt_tokens_);
  }
}

void inference::handle_event(attempt_tokens& piece, steady_time at) {
  if (meta_.kind != request_kind::embedding)
    count_tokens(piece, at);
  if (renderer_)
    renderer_->tokens(pending_, piece);
  else
    builder_->tokens(piece);
  report_progress(at);
  if (builder_ && builder_->bytes() > context_.config.limits.response_bytes)
    cancel_with(request_end::failed,
                answer_too_large(context_.config.limits.response_bytes, meta_.kind));
}

void inference::count_tokens(const attempt_tokens& piece, steady_time at) {
  const auto count = piece.token_ids.empty() ? std::size_t{piece.text.empty() ? 0U : 1U}
                                             : piece.token_ids.size();
  tokens_ += static_cast<std::uint32_t>(count);
  told_ids_ = told_ids_ || !piece.token_ids.empty();
  if (!attempt_first_token_at_)
    attempt_first_token_at_ = at;
  if (!first_token_at_) {
    first_token_at_ = at;
    series_->first_token.Observe(seconds(between(started_, at)));
  } else if (last_token_at_ && count > 0) {
    series_->inter_token.Observe(seconds(between(*last_token_at_, at))
                                 / static_cast<double>(count));
  }
  last_token_at_ = at;
  if (piece.choice == 0) {
    emitted_.text += piece.text;
    emitted_.tokens += static_cast<std::uint32_t>(count);
    emitted_.token_ids.insert(emitted_.token_ids.end(), piece.token_ids.begin(),
                              piece.token_ids.end());
  }
}

void inference::handle_event(const attempt_choice_done& ended, steady_time) {
  if (!done_choices_.insert(ended.choice).second)
    return; // Repeated after a resume.
  if (renderer_)
    renderer_->choice_done(pending_, ended.choice, ended.finish_reason);
  else
    builder_->choice_done(ended.choice, ended.finish_reason);
}

void inference::handle_event(const attempt_completed& completed, steady_time at) {
  auto ended = completed;
  ended.usage.prompt_tokens
      = prompt_tokens_ > 0 ? prompt_tokens_ : own_prompt(ended.usage.prompt_tokens);
  ended.usage.cached_tokens = std::min(ended.usage.cached_tokens, ended.usage.prompt_tokens);
  // A server counts what it wrote itself, and may write many tokens as one piece.
  const auto counted = ended.usage.completion_tokens + (told_ids_ ? 0 : earlier_tokens_);
  ended.usage.completion_tokens = std::max(counted, tokens_);
  complete(ended, at);
}

void inference::handle_event(const attempt_aborted& aborted, steady_time at) {
  if (is_whole())
    return complete_unsaid({aborted.energy_mj, aborted.cost_micros}, at);
  charge({aborted.energy_mj, aborted.cost_micros}, charged_);
  // Its node ended it for the scheduler, which may not have said so here yet: had we asked for it,
  // we would not listen any more.
  if (aborted.failure.code == "cancelled")
    return fail_attempt(
        {recovery::retry_elsewhere, "attempt_revoked", "its node ended the attempt"}, false, 0,
        aborted.cost_micros);
  fail_attempt(aborted.failure, aborted.device_fault, aborted.retry_after_us, aborted.cost_micros);
}

namespace {

/// Adds what is known to what is known.
void add_known(std::optional<std::uint64_t>& sum, const std::optional<std::uint64_t>& more) {
  if (!sum || !more)
    return sum.reset();
  *sum += *more;
}

} // namespace

/// Once for each attempt. What its node was not heard of is unknown, and so is the request's sum.
void inference::charge(const attempt_charge& told, bool& charged) {
  if (std::exchange(charged, true))
    return;
  add_known(energy_mj_, told.energy_mj);
  add_known(cost_micros_, told.cost_micros);
  context_.figures.charge(model_name(model_), meta_.tenant, told);
}

void inference::complete(const attempt_completed& ended, steady_time at) {
  charge({ended.energy_mj, ended.cost_micros}, charged_);
  if (meta_.kind == request_kind::embedding) {
    auto made = embeddings_data(builder_->text(), parsed_.inputs);
    if (!made)
      return fail_attempt(made.failure(), true, 0, ended.cost_micros);
    embeddings_ = *std::move(made);
  }
  usage_ = ended.usage;
  const auto first = attempt_first_token_at_.value_or(at);
  context_.port.report(core::attempt_finished{current_->attempt,
                                              {.usage = ended.usage,
                                               .first_token_us = between(opened_at_, first),
                                               .total_us = between(opened_at_, at),
                                               .batch = ended.batch,
                                               .engine_queue_us = ended.engine_queue_us,
                                               .energy_mj = ended.energy_mj,
                                               .cost_micros = ended.cost_micros}});
  close_attempt(attempt_end::finished);
  if (renderer_)
    renderer_->finish(pending_, usage_, served());
  end(request_end::finished);
}

bool inference::all_choices_done() const {
  return done_choices_.size() >= parsed_.choices;
}

/// Whoever goes on with a text writes at least one token more.
bool inference::is_whole() const {
  return all_choices_done()
         || (meta_.resumable && meta_.max_tokens > 0 && tokens_ >= meta_.max_tokens);
}

void inference::complete_unsaid(const attempt_charge& told, steady_time at) {
  if (!all_choices_done())
    handle_event(attempt_choice_done{0, "length"}, at);
  complete({{prompt_tokens_, tokens_, cached_tokens_}, 0, 0, told.energy_mj, told.cost_micros}, at);
}

void inference::fail_attempt(const error& failure, bool device_fault, duration_us retry_after_us,
                             std::optional<std::uint64_t> cost_micros) {
  log().warn("request {}: attempt {} on {} failed: {}: {}", meta_.external_id,
             current_->attempt.number, device_, failure.code, failure.message);
  const std::uint32_t shown = head_sent_ ? tokens_ : 0;
  context_.port.report(core::attempt_failed{current_->attempt, failure, shown, device_fault,
                                            retry_after_us, cost_micros});
  const bool final = failure.action == recovery::refuse && !device_fault;
  if (!final)
    return end_attempt(attempt_end::failed);
  close_attempt(attempt_end::refused);
  // No other device would answer differently, so the client need not wait for the scheduler.
  failure_ = failure.code == "not_resumable"
                 ? api_error{.status = 502, .code = failure.code, .message = failure.message}
                 : from_refusal(failure);
  end(failure.code == "not_resumable" ? request_end::failed : request_end::rejected);
}

void inference::close_attempt(attempt_end reason) {
  close_hedge(attempt_end::dropped);
  if (!current_)
    return;
  charge({}, charged_);
  stream_.reset();
  current_.reset();
  context_.figures.count(reason);
  waiting_since_ = std::chrono::steady_clock::now();
}

void inference::report_progress(steady_time now) {
  const auto every = std::chrono::microseconds(context_.config.limits.progress_every);
  const bool first = attempt_first_token_at_ == now;
  if (!first && now - last_report_at_ < every)
    return;
  last_report_at_ = now;
  context_.port.report(core::attempt_progressed{current_->attempt, tokens_});
}

/// A scheduler that was restarted counts a wait anew, so that the gateway may be the one to end it.
api_error inference::waited_in_vain() const {
  api_error out{.status = 503,
                .code = "scheduler_silent",
                .message = "the scheduler gave no answer in time",
                .state = notice_.state,
                .retry_after_us = limits::second_us};
  if (notice_.state.empty())
    return out;
  out.code = notice_.state == "queued" ? "queue_timeout" : "model_" + notice_.state;
  out.message = "waited long enough: " + notice_.reason;
  return out;
}

/// The scheduler would have said so: there is none, or it cannot be reached.
bool inference::is_late(steady_time now) const {
  return meta_.deadline_us
         && between(started_, now) - context_.config.limits.deadline_grace >= *meta_.deadline_us;
}

void inference::check_time() {
  const auto now = std::chrono::steady_clock::now();
  if (ended_ || now < next_look())
    return;
  const auto& bounds = context_.config.limits;
  if (is_late(now))
    return cancel_with(
        request_end::expired,
        {.status = 408, .code = "deadline_passed", .message = "the request's deadline passed"});
  if (between(started_, now) >= bounds.request_time)
    return cancel_with(request_end::expired,
                       {.status = 408,
                        .code = "request_timeout",
                        .message = "the request took longer than this gateway allows"});
  if (!current_)
    return cancel_with(request_end::failed, waited_in_vain());
  if (is_whole())
    return complete_unsaid({}, last_event_at_);
  fail_attempt({recovery::retry_elsewhere, "attempt_silent",
                "no event came from " + device_ + " for too long"},
               true);
}

} // namespace consort::gateway
