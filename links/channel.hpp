// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A TCP connection, bare or under TLS, behind one pair of operations. Its executor is a strand, on
/// which everything here is called. One read and one write may be under way at a time. Owned by a
/// door first, then by a link.

#include "links/socket_layer.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <chrono>
#include <cstdint>
#include <utility>
#include <variant>

namespace consort::links {

/// Microseconds of the clock that sessions are given.
[[nodiscard]] inline std::int64_t steady_now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class channel {
public:
  using tcp = boost::asio::ip::tcp;
  using tls_stream = boost::asio::ssl::stream<socket_layer>;

  explicit channel(tcp::socket socket) : stream_(std::move(socket)) {}

  /// Whatever is written goes without delay, and nothing waits in the kernel. Requires: an open
  /// socket.
  void hurry() {
    boost::system::error_code ignored;
    socket().set_option(tcp::no_delay(true), ignored);
    socket().non_blocking(true, ignored);
  }

  /// From now on TLS. Requires: a bare channel with nothing under way.
  tls_stream& secure(boost::asio::ssl::context& context) {
    auto bare = std::move(std::get<tcp::socket>(stream_));
    return stream_.emplace<tls_stream>(socket_layer(std::move(bare)), context);
  }

  [[nodiscard]] tcp::socket& socket() {
    auto* const tls = std::get_if<tls_stream>(&stream_);
    return tls != nullptr ? tls->next_layer().lowest_layer() : std::get<tcp::socket>(stream_);
  }

  template <class Token>
  auto read_some(boost::asio::mutable_buffer into, Token token) {
    if (auto* const tls = std::get_if<tls_stream>(&stream_))
      return tls->async_read_some(into, std::move(token));
    return std::get<tcp::socket>(stream_).async_read_some(into, std::move(token));
  }

  /// What has come by now and was not read: a read under TLS gives one record at most, though more
  /// may have been received with it. Requires: no read under way. Returns: 0 bytes if there is
  /// nothing; why nothing more will come.
  std::pair<boost::system::error_code, std::size_t> read_ready(boost::asio::mutable_buffer into);

  template <class Token>
  auto write_some(boost::asio::const_buffer from, Token token) {
    if (auto* const tls = std::get_if<tls_stream>(&stream_))
      return tls->async_write_some(from, std::move(token));
    return std::get<tcp::socket>(stream_).async_write_some(from, std::move(token));
  }

  /// Writes at once, as long as nothing else is being written. Returns: how much was taken, of
  /// which flush() may have to send the rest, or 0 where write_some() has to wait; or why nothing
  /// will be sent any more. Requires: hurry().
  std::pair<boost::system::error_code, std::size_t> write_ready(boost::asio::const_buffer from);
  /// Whether a rest is left.
  [[nodiscard]] bool behind() const {
    const auto* const tls = std::get_if<tls_stream>(&stream_);
    return tls != nullptr && tls->next_layer().behind();
  }
  /// Sends the rest, or some of it. Requires: behind().
  template <class Token>
  auto flush(Token token) {
    return std::get<tls_stream>(stream_).next_layer().async_write_some(boost::asio::const_buffer(),
                                                                       std::move(token));
  }

  /// Whether TLS keeps its buffers between records, which costs a connection 32 KiB, and each
  /// record that finds none an allocation as large.
  void keep_buffers(bool keep);

  /// Ends whatever is under way.
  void cut() {
    boost::system::error_code ignored;
    socket().shutdown(tcp::socket::shutdown_both, ignored);
    socket().close(ignored);
  }

private:
  std::variant<tcp::socket, tls_stream> stream_;
};

} // namespace consort::links
