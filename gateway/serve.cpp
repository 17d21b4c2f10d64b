// SPDX-License-Identifier: Apache-2.0
// How a request begins, waits, is delivered, and ends.
#include "gateway/admin_json.hpp"
#include "gateway/embeddings.hpp"
#include "gateway/inference.hpp"
#include "gateway/log.hpp"
#include "gateway/responses_exchange.hpp"
#include "gateway/responses_request.hpp"

#include <algorithm>
#include <ctime>

namespace consort::gateway {

namespace {

using std::chrono::microseconds;

request_meta make_meta(gateway_context& context, request_kind kind, const request_options& options,
                       const parsed_body& parsed) {
  request_meta out;
  out.id = {context.port.id(), ++context.sequence};
  out.external_id = options.external_id.empty() ? "req-" + to_string(out.id) : options.external_id;
  out.kind = kind;
  out.model = parsed.model;
  out.tenant = options.tenant;
  out.session = options.session;
  out.selector = options.selector;
  out.priority = options.priority;
  out.policy = options.policy;
  out.prompt_tokens = parsed.prompt_tokens;
  out.prompt_ids = parsed.prompt_ids;
  out.prompt_bytes = parsed.prompt_bytes;
  out.max_tokens = parsed.max_tokens;
  out.choices = parsed.choices;
  out.asks = parsed.asks;
  out.streaming = parsed.stream;
  out.resumable = parsed.resumable;
  out.deadline_us = options.deadline_us;
  out.wait_us = options.wait_us;
  out.prefix_blocks = parsed.prefix_blocks;
  out.hedge = options.hedge;
  out.labels = options.labels;
  out.labels.insert(out.labels.end(), parsed.labels.begin(), parsed.labels.end());
  return out;
}

/// A place among the requests in flight, held as long as it lives.
class flight_slot {
public:
  explicit flight_slot(gateway_context& context) : count_(context.in_flight) { ++count_; }
  ~flight_slot() { --count_; }
  flight_slot(const flight_slot&) = delete;
  flight_slot& operator=(const flight_slot&) = delete;

private:
  std::atomic<std::size_t>& count_;
};

task<void> refuse(gateway_context& context, const http_request& request, exchange& out,
                  const api_error& failure, request_end outcome) {
  context.figures.count(outcome);
  auto answer = to_response(failure);
  if (auto id = usable_request_id(request); !id.empty())
    answer.headers.emplace_back("X-Request-Id", std::move(id));
  log().info("request {}: {} {}", usable_request_id(request), failure.status, failure.message);
  co_await out.respond(answer);
}

std::optional<api_error> refusal(const gateway_context& context) {
  if (context.stopping)
    return api_error{.status = 503,
                     .code = "shutting_down",
                     .message = "this gateway is stopping",
                     .retry_after_us = limits::second_us};
  if (context.in_flight >= context.config.limits.requests)
    return api_error{.status = 429,
                     .code = "gateway_full",
                     .message = "this gateway serves as many requests as it may ("
                                + std::to_string(context.config.limits.requests) + ")",
                     .retry_after_us = limits::second_us};
  return std::nullopt;
}

} // namespace

task<void> serve_inference(gateway_context& context, request_kind kind, const http_request& request,
                           exchange& out) {
  if (const auto full = refusal(context)) {
    co_await refuse(context, request, out, *full, request_end::rejected);
    co_return;
  }
  const auto options = read_request_options(request);
  if (const auto* failure = std::get_if<api_error>(&options)) {
    co_await refuse(context, request, out, *failure, request_end::invalid);
    co_return;
  }
  const auto parsed = parse_body(kind, request.body);
  if (const auto* failure = std::get_if<api_error>(&parsed)) {
    co_await refuse(context, request, out, *failure, request_end::invalid);
    co_return;
  }
  const flight_slot slot(context);
  inference serving(context, out, kind, std::get<request_options>(options),
                    std::get<parsed_body>(parsed), request.body);
  co_await serving.run();
}

task<void> serve_responses(gateway_context& context, const http_request& request, exchange& out) {
  auto asked = chat_of_responses(request.body);
  if (const auto* failure = std::get_if<api_error>(&asked)) {
    co_await refuse(context, request, out, *failure, request_end::invalid);
    co_return;
  }
  auto& question = std::get<chat_question>(asked);
  const auto bytes_max = context.config.limits.body_bytes;
  if (question.body.size() > bytes_max) { // The other shape may take a few bytes more.
    const api_error failure{.status = 413,
                            .code = "body_too_large",
                            .message
                            = "the body exceeds " + std::to_string(bytes_max) + " bytes as a chat"};
    co_await refuse(context, request, out, failure, request_end::invalid);
    co_return;
  }
  auto chat = request;
  chat.body = std::move(question.body);
  responses_exchange turned(out, std::move(question.echo));
  co_await serve_inference(context, request_kind::chat, chat, turned);
}

std::variant<request_meta, api_error> meta_of(gateway_context& context,
                                              const http_request& request) {
  const auto options = read_request_options(request);
  if (const auto* failure = std::get_if<api_error>(&options))
    return *failure;
  nlohmann::json body;
  if (const auto failure = parse_json(request.body, body))
    return *failure;
  const bool chat = body.is_object() && body.contains("messages");
  const bool embeds = body.is_object() && body.contains("input");
  const auto kind = chat     ? request_kind::chat
                    : embeds ? request_kind::embedding
                             : request_kind::completion;
  const auto parsed = parse_body(kind, request.body);
  if (const auto* failure = std::get_if<api_error>(&parsed))
    return *failure;
  return make_meta(context, kind, std::get<request_options>(options),
                   std::get<parsed_body>(parsed));
}

inference::inference(gateway_context& context, exchange& out, request_kind kind,
                     const request_options& options, const parsed_body& parsed,
                     const std::string& body)
    : context_(context),
      out_(out),
      body_(body),
      parsed_(parsed),
      meta_(make_meta(context, kind, options, parsed)),
      started_(std::chrono::steady_clock::now()),
      created_unix_s_(std::time(nullptr)),
      box_(std::make_shared<serve_box>(out.executor(),
                                       parsed.stream ? context.config.limits.stream_backlog_bytes
                                                     : context.config.limits.response_bytes,
                                       [this] { overflowed(); })),
      waiting_since_(started_),
      model_(parsed.model.value) {}

inference::~inference() {
  out_.on_gone(nullptr);
  box_->close();
  context_.backlog -= weighed_;
  if (running_counted_) // Only where run() ended by an exception.
    context_.figures.running(-1);
  if (waiting_counted_)
    context_.figures.waiting(-1);
}

answer_identity inference::identity() const {
  const bool chat = meta_.kind == request_kind::chat;
  return {meta_.kind, (chat ? "chatcmpl-" : "cmpl-") + to_string(meta_.id), created_unix_s_,
          parsed_.model.value, parsed_.include_usage};
}

task<void> inference::run() {
  context_.port.submit(meta_, std::make_shared<bridge_listener>(box_));
  out_.on_gone([this](gone_reason why) { abandon(why); });
  while (!ended_) {
    account();
    auto batch = co_await box_->take(next_look());
    if (box_->overflowed())
      overflowed(); // Something is missing, so nothing that came after it counts.
    for (auto& arrived : batch) {
      if (ended_)
        break;
      // The model's resolved name is known with the first ticket, before anything is rendered.
      std::visit([&](auto& happened) { handle(happened); }, arrived);
      if (!renderer_ && !builder_ && current_)
        parsed_.stream ? void(renderer_.emplace(identity())) : void(builder_.emplace(identity()));
    }
    box_->recycle(std::move(batch));
    check_time();
    flush();
  }
  account();
  stream_.reset();
  hedge_.reset();
  // Each step of it within the stall limit, all of it within another.
  const auto until
      = std::chrono::steady_clock::now() + microseconds(context_.config.limits.leave_time);
  while (writing_ > 0) {
    co_await box_->take(until);
    if (writing_ > 0 && std::chrono::steady_clock::now() >= until)
      out_.cut();
  }
  co_await deliver_end();
}

steady_time inference::next_look() const {
  const auto& bounds = context_.config.limits;
  auto longest = bounds.request_time;
  if (meta_.deadline_us)
    longest = std::min(longest, *meta_.deadline_us + bounds.deadline_grace);
  const auto whole = started_ + microseconds(longest);
  const auto wait = meta_.wait_us.value_or(context_.config.queue_timeout_us);
  const auto step = current_ ? last_event_at_ + microseconds(bounds.attempt_silence)
                             : waiting_since_ + microseconds(std::min(wait, bounds.request_time))
                                   + microseconds(bounds.ticket_grace);
  return std::min(whole, step);
}

void inference::flush() {
  weigh_backlog();
  if (pending_.empty() || writing_ > 0)
    return;
  if (!head_sent_) {
    head_sent_ = true;
    out_.begin_stream(head());
  }
  const auto bytes = pending_.size();
  if (out_.start_write(pending_, [this](bool taken) { wrote(taken); }))
    return weigh_backlog();
  writing_ = bytes;
}

void inference::wrote(bool taken) {
  writing_ = 0;
  if (!taken) {
    pending_.clear();
    abandon(gone_reason::client_left);
  }
  flush();
  if (ended_ && writing_ == 0)
    box_->push(nudge{});
}

/// What the reader has not taken counts, by itself and with all others.
void inference::weigh_backlog() {
  const auto& bounds = context_.config.limits;
  const auto bytes = pending_.size() + writing_;
  const auto all = context_.backlog += bytes - weighed_;
  const bool grew = bytes > weighed_;
  weighed_ = bytes;
  // Of all, those go first who hold the most of it; what keeps up is not theirs to pay.
  const auto share = bounds.stream_backlog_bytes / limits::backlog_share;
  if (grew
      && (bytes > bounds.stream_backlog_bytes
          || (all > bounds.all_backlogs_bytes && bytes > share)))
    overflowed();
}

http_response inference::head() const {
  http_response out;
  out.content_type = parsed_.stream ? "text/event-stream" : "application/json";
  out.headers.emplace_back("X-Request-Id", meta_.external_id);
  if (attempts_ > 0) {
    out.headers.emplace_back("X-Consort-Device", device_);
    out.headers.emplace_back("X-Consort-Attempts", std::to_string(attempts_));
    out.headers.emplace_back("X-Consort-Queue-Ms", std::to_string(queued_us_ / 1000));
  }
  return out;
}

served_by inference::served() const {
  return {device_id(device_), attempts_, queued_us_, exact_, energy_mj_, cost_micros_};
}

// --- ends ---

void inference::abandon(gone_reason why) {
  if (why == gone_reason::client_left)
    return cancel_with(request_end::cancelled,
                       {.status = 499, .code = "client_left", .message = "the client left"});
  cancel_with(request_end::cancelled, {.status = 503,
                                       .code = "shutting_down",
                                       .message = "this gateway is stopping",
                                       .retry_after_us = limits::second_us});
}

void inference::overflowed() {
  const auto& bounds = context_.config.limits;
  if (!parsed_.stream)
    return cancel_with(request_end::failed, answer_too_large(bounds.response_bytes, meta_.kind));
  cancel_with(request_end::cancelled,
              {.status = 408,
               .code = "reader_too_slow",
               .message = "the client reads more slowly than it may: over "
                          + std::to_string(bounds.stream_backlog_bytes) + " bytes wait for it, or "
                          + std::to_string(bounds.all_backlogs_bytes) + " for all clients"});
}

/// Ends it from our side: the engine stops, the scheduler knows, the coroutine wakes.
void inference::cancel_with(request_end outcome, api_error failure) {
  if (ended_)
    return;
  context_.port.report(core::request_cancelled{meta_.id, failure.code});
  close_attempt(attempt_end::cancelled);
  failure_ = std::move(failure);
  pending_.clear(); // Whole events: what is being written stays whole, too.
  end(outcome);
  box_->push(nudge{});
}

void inference::end(request_end outcome) {
  if (!ended_)
    ended_ = outcome;
}

task<void> inference::deliver_end() {
  const bool reachable = !failure_ || failure_->status != 499 || head_sent_;
  if (head_sent_) {
    const auto tail = failure_ ? error_event(*failure_) : std::string{};
    co_await out_.write(tail);
    co_await out_.end_stream();
  } else if (failure_ && reachable) {
    auto answer = to_response(*failure_);
    for (auto& header : head().headers)
      answer.headers.push_back(std::move(header));
    co_await out_.respond(answer);
  } else if (!failure_) {
    auto answer = head();
    answer.body = meta_.kind == request_kind::embedding
                      ? embeddings_answer(embeddings_, parsed_.model.value, usage_, served())
                      : builder_->render(usage_, served());
    co_await out_.respond(answer);
  }
  const auto took = std::chrono::steady_clock::now() - started_;
  context_.figures.count(*ended_);
  if (series_ != nullptr && *ended_ == request_end::finished) {
    series_->whole.Observe(seconds(std::chrono::duration_cast<microseconds>(took).count()));
    series_->prompt_tokens.Increment(usage_.prompt_tokens);
    series_->completion_tokens.Increment(usage_.completion_tokens);
  }
  log().info("request {}: {} {} model={} device={} attempts={} queue_ms={} total_ms={} tokens={}",
             meta_.external_id, failure_ ? failure_->status : 200U, word_of(*ended_), model_,
             device_, attempts_, queued_us_ / 1000,
             std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), tokens_);
}

/// Keeps the gauges of waiting and running requests true.
void inference::account() {
  const bool running = !ended_ && current_;
  const bool waiting = !ended_ && !current_;
  if (running != running_counted_)
    context_.figures.running(running ? 1 : -1);
  if (waiting != waiting_counted_)
    context_.figures.waiting(waiting ? 1 : -1);
  running_counted_ = running;
  waiting_counted_ = waiting;
}

} // namespace consort::gateway
