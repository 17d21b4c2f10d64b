// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One instance at a model server: starts the server (or finds the one that runs already), waits
/// until it is ready, makes sure of the model's name, and relays attempts until it ends. Kept alive
/// by its own pending operations. Public functions are thread-safe, all state lives on one strand.
///
/// A server that we started and that exits ends the instance: attempts with `runtime_died`, then
/// `died`. One that we did not start is never signalled; it is asked every
/// limits::server_watch_us, or as often as its rule says where that is longer, whether it is there,
/// and the instance ends when it is not, limits::server_watch_failures_max times in a row. A server
/// that counts what it is sent gets no more than it allows: an attempt is held for its turn for
/// limits::server_hold_us, then given back to be tried later, and the session says that it is full
/// for as long as it is.

#include "node/child_process.hpp"
#include "node/failure_rules.hpp"
#include "node/runtimes/container.hpp"
#include "node/runtimes/engine_gauges.hpp"
#include "node/runtimes/host_log.hpp"
#include "node/runtimes/rate_gate.hpp"
#include "node/runtimes/server_attempt.hpp"
#include "node/runtimes/server_slots.hpp"

#include <boost/asio/strand.hpp>

namespace consort::node {

class server_link : public std::enable_shared_from_this<server_link> {
public:
  using opened_handler = std::function<void(result<std::shared_ptr<runtime_session>>)>;
  using died_handler = std::function<void(error)>;

  /// `containers`: of the runtime; null where its servers are processes.
  server_link(boost::asio::io_context& io, std::shared_ptr<const server_spec> spec,
              std::shared_ptr<container_keeper> containers, session_request wanted,
              opened_handler opened, died_handler died);

  void start();
  void submit(const attempt_id& attempt, attempt_body body, std::shared_ptr<attempt_sink> sink);
  void cancel(const attempt_id& attempt);
  /// The session, or the runtime, is destroyed: ends its attempts and the server that it started.
  void close();
  /// Closes it unless it has opened.
  void give_up();
  [[nodiscard]] instance_id instance() const { return wanted_.instance; }
  [[nodiscard]] session_stats stats() const;
  /// Requires: it has opened. Never changes then.
  [[nodiscard]] const runtime_capabilities& capabilities() const { return capabilities_; }

private:
  enum class phase { starting, open, ended };

  links::task<void> live();
  links::task<result<done>> prepare();
  /// What it means that the server said `lines`, or ended so, before `failure` came of it.
  [[nodiscard]] error judged(error failure, const child_exit* end) const;
  void heard(const std::string& line);
  [[nodiscard]] result<done> find_server();
  [[nodiscard]] result<done> take_key();
  links::task<result<done>> fetch_image();
  links::task<result<child_exit>> ask_engine(const std::vector<std::string>& words,
                                             duration_us timeout_us);
  [[nodiscard]] result<child_spec> plan_server();
  [[nodiscard]] result<done> launch();
  [[nodiscard]] result<done> put_into_container(child_spec& child,
                                                const std::map<std::string, std::string>& known);
  [[nodiscard]] std::map<std::string, std::string> values() const;
  [[nodiscard]] const std::string& weights() const {
    return wanted_.weights_path.empty() ? wanted_.variant.source : wanted_.weights_path;
  }
  [[nodiscard]] result<done> tell_adapters(child_spec& child,
                                           std::map<std::string, std::string> known) const;
  [[nodiscard]] std::string name_of(const local_adapter& one) const;
  /// Whether its command or environment has this placeholder.
  [[nodiscard]] bool tells(const char* placeholder) const;
  [[nodiscard]] std::string name_there() const;
  [[nodiscard]] const std::string& asked_of(const attempt_body& body) const;
  void exited(const child_exit& end);

  links::task<result<done>> wait_ready();
  links::task<result<done>> settle_name();
  links::task<void> learn_context();
  void note_context(std::uint32_t tokens, std::uint32_t prompt_tokens);
  links::task<std::string> fetch(const std::string& path, std::size_t bytes_max);
  links::task<void> watch();
  links::task<bool> ready(const std::string& path);
  links::task<void> measure();

  links::task<void> serve(attempt_id attempt, attempt_body body,
                          std::shared_ptr<server_attempt> running);
  links::task<std::optional<time_us>> admit(const std::shared_ptr<server_attempt>& running,
                                            std::uint64_t tokens);
  void heed(const server_word& word);
  void note_stages();
  void account(const server_attempt& ended, time_us admitted_at, std::uint64_t tokens);
  std::uint64_t bill(const token_price& price, const token_usage& used);
  void doubt(const token_usage& said);
  void conclude_open(result<std::shared_ptr<runtime_session>> outcome);
  /// The instance is over by itself.
  void end(const error& why);
  void release(const error& why, bool device_fault);

  boost::asio::io_context& io_;
  const boost::asio::any_io_executor strand_;
  const std::shared_ptr<const server_spec> spec_;
  const std::shared_ptr<container_keeper> containers_;
  std::string container_; ///< Name of ours; empty = none, or none yet.
  awaited_tool engine_;   ///< Of containers.
  host_log engine_log_;   ///< What it said before there was a server to say anything.
  const session_request wanted_;
  const server_slots slots_; ///< Of a server that is told of slots.
  rank_place place_;         ///< As wanted, with a place to meet.
  opened_handler opened_;
  died_handler died_;
  boost::asio::steady_timer pause_;

  phase phase_ = phase::starting;
  std::optional<error> cause_; ///< Why it ended before it opened.
  std::unique_ptr<child_process> process_;
  std::unique_ptr<server_http> asking_;    ///< Whether it is ready.
  std::unique_ptr<server_http> measuring_; ///< Its gauges.
  server_address at_;
  std::optional<server_address> encode_, prefill_; ///< Of stages that others do.
  stage_watch encoding_{"encode"}, prefilling_{"prefill"};
  std::optional<error> unready_;                ///< Why it could not even be asked, the last time.
  std::string last_answer_;                     ///< To whether it is ready, for people.
  std::map<std::string, std::string> adapters_; ///< Served name -> what the server calls it.
  std::string model_;                           ///< As the server calls it.
  runtime_capabilities capabilities_;           ///< The spec's, and what the server says.
  failure_rules<start_failure_rule> failures_;  ///< The spec's, and what it printed.
  rate_gate gate_;
  host_log log_;
  std::map<attempt_id, std::shared_ptr<server_attempt>> attempts_;

  std::atomic<std::uint64_t> generated_ = 0;
  bool doubted_ = false;            ///< It was found to tell a usage that cannot be true.
  std::atomic<bool> plain_ = false; ///< It was found to refuse `stream_options`.
  mutable std::mutex stats_mutex_;
  session_stats stats_;
  std::optional<engine_gauges> gauges_;
  std::string lacks_; ///< Gauges that it does not have, as of the latest reading.
  time_us gauged_at_ = 0;
  std::uint64_t ours_then_ = 0;       ///< Attempts of ours when they were read.
  time_us closed_until_ = 0;          ///< It takes nothing before.
  time_us stages_given_up_until_ = 0; ///< One of its stages is, and told as that.
  std::uint64_t cost_rest_ = 0;       ///< 1e-12 of the currency unit, less than a micro.
};

} // namespace consort::node
