// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One attempt at a model server: sends its body, turns the answer into events, and closes the
/// connection when it is cancelled, which is how servers of this kind are told to stop. Lives on
/// its session's strand. Exactly one terminal event reaches the sink.

#include "node/runtimes/server_http.hpp"
#include "node/server_spec.hpp"

namespace consort::node {

class server_attempt : public std::enable_shared_from_this<server_attempt> {
public:
  server_attempt(const boost::asio::any_io_executor& strand, const server_address& at,
                 std::shared_ptr<attempt_sink> sink);

  /// To its end. Call once, by one who keeps this alive.
  links::task<void> run(const attempt_body& body, const std::string& model, duration_us silence_us);
  /// Ends it with that event, unless it has ended. On the strand.
  void stop(attempt_aborted why);
  [[nodiscard]] std::uint64_t tokens() const { return tokens_; }
  [[nodiscard]] bool cancelled() const { return stopped_; }

private:
  links::task<void> relay(const attempt_body& body, const std::string& model,
                          duration_us silence_us);
  void deliver(std::vector<attempt_event> happened);

  server_http http_;
  std::shared_ptr<attempt_sink> sink_; ///< Null once its terminal event has been delivered.
  bool stopped_ = false;
  std::uint64_t tokens_ = 0;
};

} // namespace consort::node
