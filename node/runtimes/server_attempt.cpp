// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_attempt.hpp"

#include "node/runtimes/openai_answer.hpp"
#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/server_errors.hpp"

namespace consort::node {

using links::task;

server_attempt::server_attempt(const boost::asio::any_io_executor& strand, const server_address& at,
                               std::shared_ptr<attempt_sink> sink)
    : http_(strand, at), sink_(std::move(sink)) {}

void server_attempt::stop(attempt_aborted why) {
  stopped_ = true;
  deliver({std::move(why)});
  http_.cut();
}

task<void> server_attempt::run(const attempt_body& body, const std::string& model,
                               duration_us silence_us) {
  if (!stopped_)
    co_await relay(body, model, silence_us);
  http_.cut();
}

task<void> server_attempt::relay(const attempt_body& body, const std::string& model,
                                 duration_us silence_us) {
  const auto request = render_openai_request(body, model);
  if (!request) {
    deliver({attempt_aborted{request.failure(), false}});
    co_return;
  }
  const auto status
      = co_await http_.ask(http_.api(request->path), request->body, limits::server_head_us);
  if (stopped_)
    co_return;
  if (!status) {
    deliver({attempt_aborted{status.failure(), true}});
    co_return;
  }
  if (*status != 200) {
    const auto said
        = co_await http_.read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
    deliver({judge_refusal(*status, said)});
    co_return;
  }
  openai_answer answer(request->choices, request->max_tokens);
  answer.begin(http_.event_stream());
  std::vector<char> piece(limits::server_read_bytes);
  while (!answer.ended() && !stopped_) {
    deliver(answer.take());
    const auto got = co_await http_.read(piece, silence_us);
    if (stopped_)
      co_return;
    if (!got) {
      deliver({attempt_aborted{got.failure(), true}});
      co_return;
    }
    *got > 0 ? answer.feed({piece.data(), *got}) : answer.finish();
  }
  deliver(answer.take());
}

void server_attempt::deliver(std::vector<attempt_event> happened) {
  for (auto& event : happened) {
    if (!sink_)
      return;
    tokens_ += std::holds_alternative<attempt_tokens>(event) ? 1 : 0;
    const bool last = std::holds_alternative<attempt_completed>(event)
                      || std::holds_alternative<attempt_aborted>(event);
    const auto sink = last ? std::move(sink_) : sink_;
    if (last)
      sink_ = nullptr;
    sink->on_event(std::move(event));
  }
}

} // namespace consort::node
