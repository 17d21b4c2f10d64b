// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One client connection: reads requests one after another, hands each to the handler, writes the
/// answer, and notices when the client leaves meanwhile. Pipelined requests are read ahead up to
/// limits::pipeline_bytes_max and answered in order. A client that ends its sending side counts as
/// gone. Lives on its own strand; close() and drain() may be called from any thread.

#include "gateway/crowd.hpp"
#include "gateway/deadline.hpp"
#include "gateway/http.hpp"
#include "gateway/limits.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <variant>

namespace consort::gateway {

struct api_error;

/// Answers one request. The exchange outlives the coroutine. What it throws is logged; the client
/// gets a 500, or the end of its connection where an answer had begun.
using request_handler = std::function<task<void>(const http_request&, exchange&)>;

class connection final : public exchange, public std::enable_shared_from_this<connection> {
public:
  /// `limits` and `handle` must outlive the connection's run().
  connection(boost::asio::ip::tcp::socket socket, const limits::limit_set& limits,
             const request_handler& handle);

  /// Serves until the connection ends. Keeps itself alive.
  task<void> run();

  /// No further request; an idle connection closes at once. Thread-safe.
  void drain();
  /// Tells the request being served that the server stops. Thread-safe.
  void stop_request();
  /// Cuts it. Thread-safe.
  void close();
  /// Cuts it unless a request is being answered by then. Thread-safe.
  void give_way();
  /// What it does, and since when by the steady clock. Thread-safe.
  [[nodiscard]] stage now() const { return stage_; }
  [[nodiscard]] std::int64_t since_us() const { return since_us_; }

  [[nodiscard]] boost::asio::any_io_executor executor() const override;
  void on_gone(std::function<void(gone_reason)> callback) override;
  task<bool> respond(const http_response& answer) override;
  void begin_stream(http_response head) override;
  task<bool> write(std::string_view piece) override;
  bool start_write(std::string& piece, std::function<void(bool)> done) override;
  task<bool> end_stream() override;
  void cut() override;
  [[nodiscard]] bool answered() const override { return answered_; }

private:
  /// The peer closed, or nothing came in time: no answer is owed.
  struct closed {};
  using incoming = std::variant<http_request, api_error, closed>;

  task<bool> wait_first_byte();
  task<incoming> read_request();
  task<void> serve_request(const http_request& request);
  void forsake();
  task<void> refuse(const api_error& problem);
  task<void> linger();
  task<bool> send(std::string_view first, std::string_view second = {},
                  std::string_view third = {});

  [[nodiscard]] std::string lead_of(std::size_t piece_bytes);
  /// A piece of a stream on its way.
  struct outgoing {
    std::string lead, piece;
    std::string_view tail;
    std::size_t sent = 0;
    std::function<void(bool)> done;
    [[nodiscard]] std::size_t bytes() const { return lead.size() + piece.size() + tail.size(); }
    [[nodiscard]] std::array<boost::asio::const_buffer, 3> unsent() const;
  };
  [[nodiscard]] bool send_now();
  void send_on();

  void watch();
  void watched(boost::system::error_code failed, std::size_t bytes);
  task<void> stop_watching();
  void gone(gone_reason why);
  void begin_answers(const http_request& request);
  void enter(stage next);

  boost::asio::ip::tcp::socket socket_;
  const limits::limit_set& limits_;
  const request_handler& handle_;
  deadline deadline_;
  boost::beast::flat_buffer buffer_;

  // The client's departure.
  boost::asio::cancellation_signal stop_watch_;
  boost::asio::steady_timer watch_ended_;
  bool watching_ = false;
  std::optional<gone_reason> gone_;
  std::function<void(gone_reason)> on_gone_;

  // The answer under way.
  bool answered_ = false;
  bool head_only_ = false; ///< HEAD: all but the body.
  bool http_1_0_ = false;  ///< Cannot take chunks: the end of the connection ends a stream.
  bool keep_alive_ = true;
  bool streaming_ = false;
  bool broken_ = false; ///< A write failed: nothing more can be said.
  std::string held_head_;
  outgoing out_;
  std::atomic<bool> draining_ = false;

  std::atomic<stage> stage_ = stage::idle;
  std::atomic<std::int64_t> since_us_ = 0;
};

} // namespace consort::gateway
