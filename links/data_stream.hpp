// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A channel as Asio's composed operations and Beast want it, and one deadline over whatever it is
/// doing. What data ports and their clients speak HTTP over. Its executor is a strand, on which
/// everything here is called; one read and one write may be under way at a time.

#include "links/channel.hpp"
#include "links/credentials.hpp"
#include "links/task.hpp"

#include <memory>
#include <optional>
#include <string>

namespace consort::links {

class data_stream {
public:
  using executor_type = boost::asio::any_io_executor;

  explicit data_stream(boost::asio::ip::tcp::socket socket) : channel_(std::move(socket)) {}

  [[nodiscard]] executor_type get_executor() { return channel_.socket().get_executor(); }
  [[nodiscard]] boost::asio::ip::tcp::socket& socket() { return channel_.socket(); }

  /// Buffer sequences are of one buffer here; of longer ones the first is used.
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    return channel_.read_some(
        boost::asio::mutable_buffer(*boost::asio::buffer_sequence_begin(into)),
        std::forward<Token>(token));
  }
  /// As channel::read_ready().
  std::pair<boost::system::error_code, std::size_t> read_ready(boost::asio::mutable_buffer into) {
    return channel_.read_ready(into);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    return channel_.write_some(boost::asio::const_buffer(*boost::asio::buffer_sequence_begin(from)),
                               std::forward<Token>(token));
  }

  /// As channel::write_ready().
  std::pair<boost::system::error_code, std::size_t> write_ready(boost::asio::const_buffer from) {
    return channel_.write_ready(from);
  }
  /// As in channel.
  [[nodiscard]] bool behind() const { return channel_.behind(); }
  template <class Token>
  auto async_flush(Token&& token) {
    return channel_.flush(std::forward<Token>(token));
  }
  /// As channel::keep_buffers().
  void keep_buffers(bool keep) { channel_.keep_buffers(keep); }

  /// TLS from now on. Returns: who the other end is; `tls_failed` (retry elsewhere) or what
  /// credentials::identify() says.
  task<result<peer_identity>> greet(const credentials& own,
                                    boost::asio::ssl::stream_base::handshake_type side);

  /// Why greet() failed, as the link guard would say it: `foreign_certificate`, ... Requires: it
  /// said `tls_failed`.
  [[nodiscard]] const error& handshake_failure() const { return *failure_; }

  /// TLS towards a server of somebody else's: its certificate must be for `host` and by one of the
  /// `authorities`, which outlive the stream. Returns: why not.
  task<boost::system::error_code> greet_stranger(boost::asio::ssl::context& authorities,
                                                 const std::string& host);

  /// Why greet_stranger() did not believe the other end's certificate; empty = it did, or failed
  /// otherwise.
  [[nodiscard]] const std::string& distrust() const { return *distrust_; }

  /// As channel::hurry().
  void hurry() { channel_.hurry(); }
  /// Ends whatever is under way. May be called again.
  void cut() { channel_.cut(); }
  /// Reads end as if the peer had closed; writes go on.
  void cut_reading();

private:
  channel channel_;
  std::shared_ptr<std::string> distrust_ = std::make_shared<std::string>();
  std::optional<error> failure_; ///< Of greet().
};

/// One span within which something must happen. Cheap to move, since its timer is lazy: it looks
/// again when it fires. Used on one strand; the action runs there, at most once for each set(). May
/// go at any time.
class moving_deadline {
public:
  moving_deadline(boost::asio::any_io_executor strand, std::function<void()> action)
      : timer_(std::move(strand)), action_(std::move(action)) {}

  void set(duration_us from_now);
  /// None until the next set().
  void clear();
  /// For good: lets go of the action, and nothing is pending afterwards.
  void stop();
  /// Whether the span of the latest set() ran out.
  [[nodiscard]] bool expired() const { return expired_; }

private:
  using clock = std::chrono::steady_clock;
  void arm(clock::time_point when);
  void fired();

  boost::asio::steady_timer timer_;
  std::function<void()> action_;
  clock::time_point at_ = clock::time_point::max();
  std::optional<clock::time_point> armed_at_;
  bool expired_ = false;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

} // namespace consort::links
