// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The socket below a TLS stream, as Asio's stream wants it, with one more promise: a synchronous
/// write takes all of its bytes, those that the kernel does not take included, which go before
/// whatever is written next. So a record is encrypted and sent in one call, without a trip through
/// the io_context, and never torn. Holds back at most what one write gave: its user asks idle()
/// first. Its executor is a strand, on which everything here is called; it moves only while nothing
/// is under way.

#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <utility>
#include <vector>

namespace consort::links {

class socket_layer {
public:
  using lowest_layer_type = boost::asio::ip::tcp::socket;
  using executor_type = lowest_layer_type::executor_type;
  using error_code = boost::system::error_code;

  explicit socket_layer(lowest_layer_type socket) : socket_(std::move(socket)) {}

  [[nodiscard]] executor_type get_executor() { return socket_.get_executor(); }
  [[nodiscard]] lowest_layer_type& lowest_layer() { return socket_; }

  /// Whether nothing is held back or being written.
  [[nodiscard]] bool idle() const { return !writing_ && !behind(); }
  /// Whether bytes are held back.
  [[nodiscard]] bool behind() const { return !held_.empty(); }

  /// Requires: idle(), and a socket that does not block.
  template <class Buffers>
  std::size_t write_some(const Buffers& from, error_code& failed) {
    const auto size = boost::asio::buffer_size(from);
    auto taken = socket_.write_some(from, failed);
    if (failed && failed != boost::asio::error::would_block)
      return 0;
    taken = failed ? 0 : taken;
    failed = {};
    if (taken < size) {
      held_.resize(size);
      boost::asio::buffer_copy(boost::asio::buffer(held_), from);
      held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    return size;
  }

  template <class Buffers>
  std::size_t read_some(const Buffers& into, error_code& failed) {
    return socket_.read_some(into, failed);
  }

  /// What is held back goes first; with nothing to write itself, that is all it does.
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    writing_ = true;
    return boost::asio::async_compose<Token, void(error_code, std::size_t)>(
        write_op<Buffers>{this, from}, token, socket_);
  }
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    return socket_.async_read_some(into, std::forward<Token>(token));
  }

private:
  template <class Buffers>
  struct write_op {
    socket_layer* layer;
    Buffers from;
    enum class step : std::uint8_t { begin, held, own } at = step::begin;

    template <class Self>
    void operator()(Self& self, error_code failed = {}, std::size_t bytes = 0) {
      if (at == step::held)
        layer->let_go(bytes);
      if (at == step::own || failed) {
        layer->writing_ = false;
        return self.complete(failed, failed ? 0 : bytes);
      }
      at = layer->behind() ? step::held : step::own;
      auto& socket = layer->socket_;
      if (at == step::held)
        socket.async_write_some(boost::asio::buffer(layer->held_), std::move(self));
      else
        socket.async_write_some(from, std::move(self));
    }
  };

  void let_go(std::size_t bytes) {
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(bytes));
  }

  lowest_layer_type socket_;
  std::vector<char> held_;
  bool writing_ = false;
};

} // namespace consort::links
