// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Both ends of HTTP without manners: a blocking client that sends any bytes, bare or under TLS,
/// and a server whose connections a test handles by hand on a thread of its own.

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace consort::testing {

/// An answer's head, taken apart.
struct raw_head {
  unsigned status = 0;
  std::string text;
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto at = text.find("\r\n" + name + ": ");
    if (at == std::string::npos)
      return {};
    const auto begin = at + name.size() + 4;
    return text.substr(begin, text.find("\r\n", begin) - begin);
  }
};

class raw_http {
public:
  using tcp = boost::asio::ip::tcp;

  explicit raw_http(std::uint16_t port, std::shared_ptr<boost::asio::ssl::context> tls = nullptr)
      : stream_(io_, tls ? *tls : bare_), secure_(tls != nullptr) {
    boost::system::error_code failed;
    socket().connect({boost::asio::ip::make_address("127.0.0.1"), port}, failed);
    // A lost answer fails the test instead of holding it up.
    const timeval time_limit{20, 0};
    ::setsockopt(socket().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &time_limit, sizeof time_limit);
    if (secure_ && !failed)
      stream_.handshake(boost::asio::ssl::stream_base::client, failed);
    failed_ = bool(failed);
  }

  [[nodiscard]] tcp::socket& socket() { return stream_.next_layer(); }
  [[nodiscard]] bool failed() const { return failed_; }

  /// Returns: whether all of it went.
  bool send(const std::string& bytes) {
    boost::system::error_code failed;
    const auto from = boost::asio::buffer(bytes);
    secure_ ? boost::asio::write(stream_, from, failed)
            : boost::asio::write(socket(), from, failed);
    return !failed;
  }
  raw_head head() {
    while (buffer_.find("\r\n\r\n") == std::string::npos)
      if (!more())
        return {};
    raw_head out;
    out.text = take(buffer_.find("\r\n\r\n") + 4);
    out.status = static_cast<unsigned>(std::atoi(out.text.c_str() + sizeof "HTTP/1.1"));
    return out;
  }
  std::string exactly(std::size_t bytes) {
    while (buffer_.size() < bytes)
      if (!more())
        return take(buffer_.size());
    return take(bytes);
  }
  /// A chunked body to its end, or to the end of the connection.
  std::string chunked() {
    std::string out;
    for (std::string piece = chunk(); !piece.empty(); piece = chunk())
      out += piece;
    return out;
  }
  /// One chunk; empty is the last one.
  std::string chunk() {
    while (buffer_.find("\r\n") == std::string::npos)
      if (!more())
        return {};
    const auto size = std::stoul(take(buffer_.find("\r\n") + 2), nullptr, 16);
    auto content = exactly(size);
    exactly(2);
    return content;
  }
  /// Head and body of an answer with a length.
  std::pair<raw_head, std::string> answer() {
    auto got = head();
    return {got,
            exactly(static_cast<std::size_t>(std::atol(got.header("Content-Length").c_str())))};
  }
  /// Whether the other end closed and nothing was left.
  bool at_end() { return buffer_.empty() && !more(); }
  void close() {
    boost::system::error_code ignored;
    socket().close(ignored);
  }

private:
  bool more() {
    std::array<char, 16'384> piece{};
    boost::system::error_code failed;
    const auto into = boost::asio::buffer(piece);
    const auto size = secure_ ? stream_.read_some(into, failed) : socket().read_some(into, failed);
    buffer_.append(piece.data(), size);
    return !failed;
  }
  std::string take(std::size_t bytes) {
    auto out = buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
    return out;
  }

  boost::asio::io_context io_;
  boost::asio::ssl::context bare_{boost::asio::ssl::context::tls_client};
  boost::asio::ssl::stream<tcp::socket> stream_;
  const bool secure_;
  bool failed_ = false;
  std::string buffer_;
};

/// Accepts as many connections as there are scripts and lets each handle one, in order.
class scripted_server {
public:
  using tcp = boost::asio::ip::tcp;
  using script = std::function<void(tcp::socket&)>;

  explicit scripted_server(std::vector<script> scripts)
      : acceptor_(io_, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)),
        port_(acceptor_.local_endpoint().port()),
        thread_([this, scripts = std::move(scripts)] { run(scripts); }) {}
  ~scripted_server() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR); // Wakes an accept that still waits.
    thread_.join();
  }
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  /// Reads up to the blank line. Returns: the head.
  static std::string read_head(tcp::socket& socket) {
    std::string got;
    boost::system::error_code failed;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(got), "\r\n\r\n", failed);
    return got;
  }
  static void write(tcp::socket& socket, const std::string& bytes) {
    boost::system::error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
  }
  /// Waits until the other end closes.
  static void await_end(tcp::socket& socket) {
    std::array<char, 4'096> waste{};
    boost::system::error_code failed;
    while (!failed)
      socket.read_some(boost::asio::buffer(waste), failed);
  }

private:
  void run(const std::vector<script>& scripts) {
    for (const auto& handle : scripts) {
      boost::system::error_code failed;
      tcp::socket socket(io_);
      acceptor_.accept(socket, failed);
      if (failed)
        return;
      handle(socket);
    }
  }

  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  const std::uint16_t port_;
  std::thread thread_;
};

} // namespace consort::testing
