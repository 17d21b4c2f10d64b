// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One request's life: submitted, ticket, attempts, answer. A coroutine on the connection's strand,
/// fed through a mailbox; what the client is to get is written beside it, so that a slow reader
/// holds up neither the reports of its attempt nor its end. It owns the client's body and all that
/// was emitted; only events of the current attempt count, and of a hedge beside it until either
/// brings something to show: from then on that one is the current attempt. Ends in exactly one way:
/// a whole answer, an error in its place, an error event at the end of a stream, or a client that
/// left; and whatever the way, the scheduler was told and no attempt is left open.

#include "gateway/attempt_bridge.hpp"
#include "gateway/context.hpp"
#include "gateway/errors.hpp"
#include "gateway/openai_request.hpp"
#include "gateway/openai_response.hpp"
#include "gateway/request_headers.hpp"

namespace consort::gateway {

/// An unstreamed answer beyond its bound.
[[nodiscard]] api_error answer_too_large(std::size_t bytes_max, request_kind kind);

class inference {
public:
  inference(gateway_context& context, exchange& out, request_kind kind,
            const request_options& options, const parsed_body& parsed, const std::string& body);
  ~inference();
  inference(const inference&) = delete;
  inference& operator=(const inference&) = delete;

  /// Serves it to the end. Call once.
  task<void> run();

private:
  // What arrives.
  void handle(const core::grant_ticket& granted);
  void handle(const core::drop_attempt& dropped);
  void handle(const core::queue_notice& notice);
  void handle(const core::reject_request& rejected);
  void handle(attempt_frame& frame);
  void handle(const nudge&) {}
  void handle_event(const attempt_opened& opened, steady_time at);
  void handle_event(attempt_tokens& piece, steady_time at);
  void handle_event(const attempt_choice_done& ended, steady_time at);
  void handle_event(const attempt_completed& completed, steady_time at);
  void handle_event(const attempt_aborted& aborted, steady_time at);
  [[nodiscard]] api_error waited_in_vain() const;
  [[nodiscard]] bool is_late(steady_time now) const;
  void check_time();

  // Attempts.
  void open_attempt(const core::grant_ticket& granted);
  void open_hedge(const ticket& permission);
  void handle_hedge(attempt_frame& frame);
  void close_hedge(attempt_end reason);
  void prefer_hedge(attempt_end reason);
  void end_attempt(attempt_end reason);
  void fail_attempt(const error& failure, bool device_fault, duration_us retry_after_us = 0,
                    std::optional<std::uint64_t> cost_micros = {});
  void close_attempt(attempt_end reason);
  void report_progress(steady_time now);
  [[nodiscard]] std::uint32_t own_prompt(std::uint32_t told) const;
  void count_tokens(const attempt_tokens& piece, steady_time at);
  void complete(const attempt_completed& ended, steady_time at);
  void charge(const attempt_charge& told, bool& charged);
  [[nodiscard]] bool all_choices_done() const;
  /// Nothing is missing but the word that it is over: the engine said so, or the client has as many
  /// tokens as it asked for.
  [[nodiscard]] bool is_whole() const;
  void complete_unsaid(const attempt_charge& told, steady_time at);

  // The end.
  void abandon(gone_reason why);
  void overflowed();
  void cancel_with(request_end outcome, api_error failure);
  void end(request_end outcome);

  // The answer.
  void flush();
  void wrote(bool taken);
  void weigh_backlog();
  task<void> deliver_end();
  [[nodiscard]] http_response head() const;
  [[nodiscard]] served_by served() const;
  [[nodiscard]] answer_identity identity() const;
  [[nodiscard]] steady_time next_look() const;
  void account();

  gateway_context& context_;
  exchange& out_;
  const std::string& body_;
  const parsed_body& parsed_;
  request_meta meta_;
  const steady_time started_;
  const std::int64_t created_unix_s_;
  std::shared_ptr<serve_box> box_;

  // The current attempt; none while waiting.
  std::optional<ticket> current_;
  std::unique_ptr<attempt_stream> stream_;
  steady_time waiting_since_, opened_at_, last_event_at_, last_report_at_;
  std::optional<steady_time> attempt_first_token_at_;
  bool start_reported_ = false;
  bool chosen_ = false; ///< It brought something to show.
  bool charged_ = true; ///< It is known by now what it drew, or that nobody knows.
  /// Beside the current attempt, which has brought nothing yet.
  struct second_attempt {
    ticket permission;
    std::unique_ptr<attempt_stream> stream;
    steady_time opened_at;
    std::optional<attempt_opened> opened;
    bool charged = false;
  };
  std::optional<second_attempt> hedge_;

  // The request as a whole.
  std::string device_; ///< Of the latest attempt.
  std::string model_;  ///< As the scheduler resolved it; the client is told what it asked for.
  std::uint32_t attempts_ = 0;
  std::optional<bool> exact_;
  duration_us queued_us_ = 0;
  std::optional<std::uint64_t> energy_mj_ = 0;   ///< Of all attempts; unknown once one is.
  std::optional<std::uint64_t> cost_micros_ = 0; ///< The same.
  std::uint32_t prompt_tokens_ = 0;              ///< As the first that told counted.
  std::uint32_t cached_tokens_ = 0;
  std::uint32_t tokens_ = 0;         ///< Emitted by engines, all choices.
  std::uint32_t earlier_tokens_ = 0; ///< Those before this attempt.
  bool told_ids_ = false;            ///< This attempt's pieces say which tokens they are.
  resume_state emitted_;             ///< Of choice 0.
  std::set<std::uint32_t> done_choices_;
  model_series* series_ = nullptr;
  std::optional<steady_time> first_token_at_, last_token_at_;
  core::queue_notice notice_; ///< Latest reason to wait.

  // What the client gets.
  std::optional<stream_renderer> renderer_;
  std::optional<answer_builder> builder_;
  std::string embeddings_;  ///< What its device made of the inputs, as the answer has it.
  std::string pending_;     ///< Rendered, not yet being written.
  std::size_t writing_ = 0; ///< Bytes being written.
  std::size_t weighed_ = 0; ///< Bytes of both in the context's sum.
  bool head_sent_ = false;
  bool waiting_counted_ = false, running_counted_ = false;
  std::optional<request_end> ended_;
  std::optional<api_error> failure_;
  token_usage usage_;
};

/// What the scheduler would be told of an OpenAI request: a conversation when it has `messages`,
/// texts to embed when it has an `input`, else a text to continue. Returns: or what is wrong with
/// it.
[[nodiscard]] std::variant<request_meta, api_error> meta_of(gateway_context& context,
                                                            const http_request& request);

/// POST /v1/chat/completions, /v1/completions and /v1/embeddings: reads, checks, serves.
task<void> serve_inference(gateway_context& context, request_kind kind, const http_request& request,
                           exchange& out);

/// POST /v1/responses: served as the chat that it amounts to.
task<void> serve_responses(gateway_context& context, const http_request& request, exchange& out);

} // namespace consort::gateway
