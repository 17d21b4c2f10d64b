// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One connection to a data port, and the pool that keeps those that are idle. A connection carries
/// one call at a time and reads all the time, so that its end is noticed at once, idle or not.
/// Lives on its own strand and by itself while it is open. Private to the data port's
/// client.

#include "gateway/chunked_body.hpp"
#include "gateway/data_call.hpp"
#include "gateway/data_port_client.hpp"
#include "links/address.hpp"
#include "links/data_stream.hpp"
#include "links/lookup.hpp"
#include "messages/frame.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <deque>
#include <set>

namespace consort::gateway {

class data_connection;

/// All connections to one address, which live by themselves. Thread-safe.
struct data_pool : std::enable_shared_from_this<data_pool> {
  data_pool(boost::asio::io_context& on, std::string to,
            std::shared_ptr<const links::credentials> with, limits::data_limit_set within);

  /// On a connection kept alive, else on a new one, else on whichever is there first: handshakes
  /// that all run at once would all be late. Never calls the sink while locked.
  void dispatch(const std::shared_ptr<data_call>& call);
  /// A connection has been made, or not. A failure is every waiting call's.
  void dialled_out(const std::optional<error>& failure);
  /// Nobody has further use for a call: its connection, if it still has one, ends it.
  void abandon(const std::shared_ptr<data_call>& call);
  /// A connection is free. Returns: whether it is kept.
  [[nodiscard]] bool keep(const std::shared_ptr<data_connection>& one);
  /// A connection has ended.
  void forget(const std::shared_ptr<data_connection>& one);
  /// A place for one more attempt; given back by release().
  [[nodiscard]] bool reserve();
  void release();
  /// Cuts every connection and takes no more calls.
  void close();

  boost::asio::io_context& io;
  const std::string address;
  const std::shared_ptr<const links::credentials> credentials;
  const limits::data_limit_set limits;

  mutable std::mutex mutex;
  using connection_ref = std::weak_ptr<data_connection>;
  std::set<connection_ref, std::owner_less<>> all;
  std::vector<connection_ref> idle; ///< The latest last.
  std::deque<std::shared_ptr<data_call>> waiting;
  std::size_t dialling = 0;
  std::size_t open = 0;
  std::uint64_t dialled = 0, reused = 0;
  std::chrono::steady_clock::time_point used_at = std::chrono::steady_clock::now();
  bool closed = false;

private:
  using calls = std::deque<std::shared_ptr<data_call>>;
  /// Requires: the lock.
  void dial(const std::shared_ptr<data_call>& call);
  [[nodiscard]] std::shared_ptr<data_call> next_waiting();
};

class data_connection : public std::enable_shared_from_this<data_connection> {
public:
  explicit data_connection(std::shared_ptr<data_pool> pool);

  /// Connects and carries its first call. Call once.
  void start(std::shared_ptr<data_call> call);
  /// Carries a further one, or gives it back to the pool when it has ended meanwhile. Thread-safe.
  void carry(std::shared_ptr<data_call> call);
  /// Ends the connection if it carries that call unfinished. Thread-safe.
  void abandon(std::shared_ptr<data_call> call);
  /// Ends it. Thread-safe.
  void cut();

private:
  enum class phase : std::uint8_t { connecting, idle, head, refusal, events, tail, ended };
  using parser = boost::beast::http::response_parser<boost::beast::http::buffer_body>;
  using bytes = std::span<const char>;

  links::task<void> run();
  links::task<std::optional<error>> connect();
  links::task<std::optional<error>> greet();
  [[nodiscard]] boost::system::error_code read_ready();

  void begin();
  void send_rest();
  void wrote(const data_call& call, boost::system::error_code failed, std::size_t size);
  [[nodiscard]] bool check_peer();

  /// What arrived. Returns: how much of it is done with; nothing more is asked of an ended one.
  std::size_t consume(bytes arrived);
  std::size_t consume_head(bytes arrived);
  std::size_t consume_refusal(bytes arrived);
  std::size_t consume_events(bytes arrived);
  void take_frames();
  void finish_exchange();
  void keep();

  void out_of_time();
  void lost(const error& why, bool device_fault);
  void end();

  const std::shared_ptr<data_pool> pool_;
  links::data_stream stream_;
  links::name_lookup names_;
  links::moving_deadline deadline_;
  boost::beast::flat_buffer buffer_;
  phase phase_ = phase::connecting;
  std::optional<links::peer_identity> peer_;
  std::shared_ptr<data_call> call_;
  std::optional<error> late_; ///< Connecting took too long.
  std::size_t sent_ = 0;
  bool writing_ = false;
  bool keep_alive_ = true;
  std::optional<parser> head_;
  std::string refusal_;
  std::uint64_t refusal_left_ = 0;
  chunked_body chunks_;
  messages::frame_reader frames_;
};

} // namespace consort::gateway
