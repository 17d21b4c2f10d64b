// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One connection of a data port: TLS and who is there, then exchanges one after another, each
/// under its deadlines. While one is served the other end is watched, so that its leaving ends the
/// attempt at once. Lives on its own strand and keeps itself alive; cut() and drop() may be called
/// from any thread. Private to the data port.

#include "links/bell.hpp"
#include "links/data_stream.hpp"
#include "node/attempt_outbox.hpp"
#include "node/data_port_request.hpp"
#include "node/data_port_shared.hpp"

#include <boost/beast/core/flat_buffer.hpp>

#include <span>

namespace consort::node {

class data_port_connection : public std::enable_shared_from_this<data_port_connection> {
public:
  /// How much it would cost its peer to be cut.
  enum class state : std::uint8_t { unfinished, idle, reading, busy };

  /// `from` is its peer's address. `in_order` is called when its peer is, at most once and
  /// on its strand.
  data_port_connection(boost::asio::ip::tcp::socket socket, const boost::asio::ip::address& from,
                       std::shared_ptr<data_port_shared> shared, std::function<void()> in_order);

  /// Serves until the connection ends. Whoever spawns it keeps this alive.
  links::task<void> run();

  /// Ends it and its attempt. Thread-safe.
  void cut();
  /// The same if its certificate is one of those. Thread-safe.
  void drop(std::shared_ptr<const std::vector<std::string>> serials);
  /// Thread-safe.
  [[nodiscard]] state now() const { return state_; }
  /// What it counts as, of its address, if it came to nothing. On its strand.
  [[nodiscard]] std::int64_t failures() const {
    return costly_ ? links::limits::failures_per_handshake : 1;
  }
  /// Its executor: a strand.
  [[nodiscard]] boost::asio::any_io_executor executor() { return stream_.get_executor(); }

private:
  using bytes = std::span<const char>;

  links::task<bool> greet();
  links::task<bool> hear_first();
  links::task<bool> wait_turn();
  links::task<bool> wait_request();
  links::task<bool> serve_one();
  links::task<std::optional<refusal>> read_head(request_parser& parser);
  links::task<std::optional<refusal>> read_body(request_parser& parser);
  [[nodiscard]] std::optional<refusal> forbid(const data_route& route) const;
  void refused(const std::string& code, const std::string& message);
  void slipped();

  links::task<void> serve_attempt(const request_message& request);
  links::task<void> stream_attempt();
  [[nodiscard]] bool pump();
  links::task<void> serve_metrics();
  links::task<void> serve_artifact(const request_message& request, const data_route& route);
  links::task<void> send_artifact(const request_message& request, const held_artifact& held);
  links::task<void> send_file(int file, byte_range range);

  links::task<void> respond(const refusal& problem, bool then_close);
  links::task<void> linger();
  links::task<bool> write(bytes from);

  void limit_reading(duration_us span);
  void limit_whole(duration_us span);
  void out_of_time();
  void watch();
  void watched(boost::system::error_code failed, std::size_t size);
  void woken();
  void end();

  links::data_stream stream_;
  const std::string address_;
  const std::string key_; ///< What the address counts as.
  const std::shared_ptr<data_port_shared> shared_;
  const limits::data_port_limits& limits_;
  std::function<void()> in_order_;
  links::moving_deadline deadline_;
  links::bell changed_; ///< Rung when there is something to look at.
  boost::beast::flat_buffer buffer_{limits::http_held_bytes_max};
  std::atomic<state> state_ = state::unfinished;
  std::optional<result<links::peer_identity>> peer_; ///< None without TLS.
  std::unique_ptr<links::turnstile::turn> turn_;     ///< While it shakes hands.
  bool costly_ = false;                              ///< A handshake was answered, and failed.
  bool reading_ = false;                             ///< Being late is answered, not cut.
  bool watching_ = false;                            ///< A read is under way beside run().
  bool gone_ = false;                                ///< The peer left, or was cut.
  bool keep_alive_ = true;
  std::shared_ptr<attempt_outbox> outbox_;
  std::unique_ptr<attempt_stream> attempt_;
  std::vector<char> chunk_; ///< Of the attempt's stream, as its outbox gave it.
  bytes unsent_;            ///< Of that.
  bool pumping_ = false;    ///< run() waits for nothing but what woken() may do itself.
};

} // namespace consort::node
