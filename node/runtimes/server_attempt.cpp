// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_attempt.hpp"

#include "node/runtimes/kv_transfer.hpp"
#include "node/runtimes/openai_embeddings.hpp"
#include "node/runtimes/rate_gate.hpp"
#include "node/runtimes/server_errors.hpp"

#include <ctime>

namespace consort::node {

using links::task;

server_attempt::server_attempt(const boost::asio::any_io_executor& strand, const server_call& how,
                               std::shared_ptr<attempt_sink> sink,
                               std::function<void(server_word)> heard)
    : how_(how),
      http_(strand, how.at),
      first_(how.prefill == nullptr ? nullptr
                                    : std::make_unique<server_http>(strand, *how.prefill)),
      sink_(std::move(sink)),
      heard_(std::move(heard)) {}

void server_attempt::stop(attempt_aborted why) {
  stopped_ = true;
  deliver({std::move(why)});
  http_.cut();
  if (first_)
    first_->cut();
}

task<void> server_attempt::run(const attempt_body& body) {
  if (!stopped_)
    co_await relay(body);
  http_.cut();
}

task<void> server_attempt::relay(const attempt_body& body) {
  auto request = render_server_request(how_.spec.protocol, body, how_.model);
  if (!request) {
    deliver({attempt_aborted{request.failure(), false}});
    co_return;
  }
  request->path = http_.api(request->path);
  embeds_ = request->embeddings > 0;
  if (first_ && !embeds_) {
    const auto prefilled = co_await prefill(*request);
    if (!prefilled || stopped_)
      co_return; // Its end has been delivered.
  }
  const auto status
      = co_await http_.ask(request->path, request->body, how_.spec.silence_us, taken());
  if (stopped_)
    co_return;
  if (!status) {
    deliver({attempt_aborted{status.failure(), true}});
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
  const auto said
      = co_await http_.read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
  const auto wait = read_retry_after(http_.headers(), std::time(nullptr));
  deliver({embeds_ ? judge_embeddings_refusal(status, said, wait.has_value())
                   : judge_refusal(status, said, wait.has_value())});
}

/// Has the prompt prefilled at the first server and tells the second where its KV cache is. Where
/// that fails for the server's sake the second does the whole. Returns: an error once the attempt
/// has ended.
task<result<done>> server_attempt::prefill(server_request& asked) {
  const auto body = prefill_body(asked.body);
  const auto status = co_await first_->ask(asked.path, body, how_.spec.silence_us, taken());
  if (stopped_ || !status)
    co_return done{};
  const auto said
      = co_await first_->read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
  if (*status == 200) {
    asked.body = decode_body(asked.body, said);
    co_return done{};
  }
  auto judged = judge_refusal(*status, said);
  if (judged.failure.action != recovery::refuse)
    co_return done{};
  const auto why = judged.failure;
  deliver({std::move(judged)});
  co_return why;
}

std::function<void()> server_attempt::taken() {
  return [this] { deliver({attempt_opened{}}); };
}

void server_attempt::deliver(std::vector<attempt_event> happened) {
  for (auto& event : happened) {
    if (!sink_)
      return;
    if (std::holds_alternative<attempt_opened>(event) && std::exchange(opened_, true))
      continue; // The answer's own, once it has a head.
    how_.generated += !embeds_ && std::holds_alternative<attempt_tokens>(event) ? 1 : 0;
    const auto* completed = std::get_if<attempt_completed>(&event);
    if (completed != nullptr)
      usage_ = completed->usage;
    const bool last = completed != nullptr || std::holds_alternative<attempt_aborted>(event);
    const auto sink = last ? std::move(sink_) : sink_;
    if (last)
      sink_ = nullptr;
    sink->on_event(std::move(event));
  }
}

} // namespace consort::node
