// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One attempt at a model server: sends its body, turns the answer into events, and closes the
/// connection when it is cancelled, which is how servers of this kind are told to stop. Where
/// prompts are encoded or prefilled elsewhere it asks there first. It counts as running once a
/// server has its request: some send no head before their first token, and one that never does is
/// then judged as any other that fell silent. Lives on its session's strand. Exactly one
/// `attempt_opened` and one terminal event reach the sink.

#include "node/runtimes/server_dialect.hpp"
#include "node/runtimes/server_http.hpp"
#include "node/runtimes/stage_watch.hpp"

#include <atomic>

namespace consort::node {

/// What all attempts of a session have in common; outlives them.
struct server_call {
  const server_spec& spec;
  const server_address& at;
  const server_address* prefill;         ///< Null: the server does it itself.
  const std::string& model;              ///< As the server calls it.
  std::atomic<std::uint64_t>& generated; ///< Pieces of text so far, over all attempts.
  const server_address* encode;          ///< Null: whoever prefills does it itself.
  std::atomic<bool>& plain;              ///< It was found to refuse `stream_options`.
  /// What so much of the model costs, 1e-6 of the currency unit, which is put on the bill; empty =
  /// nobody knows.
  std::function<std::uint64_t(const token_usage&)> bill;
  std::function<void(const token_usage&)> doubt; ///< Called with a usage that cannot be true.
  stage_watch& encoding;                         ///< Whether the stages are worth asking.
  stage_watch& prefilling;
  std::uint64_t prefill_tokens_per_s; ///< As declared of the device; 0 = unknown.
  std::function<void()> staged;       ///< Called when one of these has changed.
};

/// What an answer's head says beside the answer.
struct server_word {
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
};

class server_attempt : public std::enable_shared_from_this<server_attempt> {
public:
  /// `heard`: called with every head.
  server_attempt(const boost::asio::any_io_executor& strand, const server_call& how,
                 std::shared_ptr<attempt_sink> sink, std::function<void(server_word)> heard);

  /// To its end. Call once, by one who keeps this alive.
  links::task<void> run(const attempt_body& body);
  /// Ends it with that event, unless it has ended. On the strand.
  void stop(attempt_aborted why);
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// What was used of the model, as far as its server is believed, with an estimate of a prompt
  /// that it tells nothing of; nothing unless it completed.
  [[nodiscard]] const std::optional<token_usage>& usage() const { return usage_; }

private:
  links::task<void> relay(const attempt_body& body);
  links::task<bool> stages(server_request& asked);
  links::task<result<std::string>> stage(server_http& at, stage_watch& watch,
                                         const std::string& path, const std::string& body);
  links::task<result<std::string>> ask_stage(server_http& at, stage_watch& watch,
                                             const std::string& path, const std::string& body);
  links::task<void> refuse(unsigned status);
  [[nodiscard]] std::function<void()> taken();
  void deliver(std::vector<attempt_event> happened);
  void check_usage(attempt_completed& end);
  void tell_cost(attempt_event& end);
  void mask(attempt_event& said) const;

  const server_call how_;
  server_http http_;
  std::unique_ptr<server_http> encoder_, first_; ///< Where it is encoded, and prefilled.
  std::shared_ptr<attempt_sink> sink_; ///< Null once its terminal event has been delivered.
  const std::function<void(server_word)> heard_;
  bool stopped_ = false;
  bool opened_ = false;                ///< The sink knows that it runs.
  bool asked_ = false;                 ///< A server may have begun to work on it.
  bool embeds_ = false;                ///< It is asked for embeddings, not for text.
  const attempt_body* body_ = nullptr; ///< While it runs.
  std::uint64_t pieces_ = 0;           ///< Of its answer.
  std::optional<token_usage> usage_;
};

} // namespace consort::node
