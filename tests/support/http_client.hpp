// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A blocking HTTP client for tests that shows the bytes: it parses only framing. Reads give up
/// after `patience` and then return what came.

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>

namespace consort::testing {

struct http_answer {
  int status = 0;                             ///< 0 = none came.
  std::map<std::string, std::string> headers; ///< Names as sent.
  std::string body;                           ///< Chunks joined.
  bool complete = false;
};

class http_client {
public:
  explicit http_client(std::uint16_t port, int receive_buffer_bytes = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (receive_buffer_bytes > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                   sizeof receive_buffer_bytes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~http_client() { close(); }
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }

  /// Returns: whether all of it was taken.
  bool send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const auto count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0)
        return false;
      sent += static_cast<std::size_t>(count);
    }
    return true;
  }

  /// Sends `piece` again and again until nothing is taken for a moment, or `most` bytes are.
  /// Returns: bytes sent.
  std::size_t send_until_full(const std::string& piece, std::size_t most) {
    std::size_t sent = 0;
    for (pollfd room{socket_, POLLOUT, 0}; sent < most && ::poll(&room, 1, 200) == 1;) {
      const auto count = ::send(socket_, piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0)
        break;
      sent += static_cast<std::size_t>(count);
    }
    return sent;
  }

  static std::string request(const std::string& method, const std::string& target,
                             const std::string& body = {}, const std::string& headers = {}) {
    return method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers
           + (body.empty() && method != "POST"
                  ? ""
                  : "Content-Length: " + std::to_string(body.size()) + "\r\n")
           + "\r\n" + body;
  }

  http_answer get(const std::string& target, const std::string& headers = {}) {
    send(request("GET", target, {}, headers));
    return read_answer();
  }
  http_answer post(const std::string& target, const std::string& body,
                   const std::string& headers = {}) {
    send(request("POST", target, body, headers));
    return read_answer();
  }

  /// Reads until `wanted` has come or nothing more does. Returns: everything unread so far; it
  /// stays unread.
  std::string read_until(const std::string& wanted) {
    while (unread_.find(wanted) == std::string::npos && fill()) {
    }
    return unread_;
  }

  /// Reads to the end of the connection.
  std::string read_all() {
    while (fill()) {
    }
    return std::exchange(unread_, {});
  }

  http_answer read_answer(bool head_only = false) {
    http_answer out;
    if (!read_head(out) || head_only) {
      out.complete = out.status != 0;
      return out;
    }
    const auto length = out.headers.find("Content-Length");
    if (length != out.headers.end())
      out.complete = take(std::strtoul(length->second.c_str(), nullptr, 10), out.body);
    else if (out.headers.contains("Transfer-Encoding"))
      out.complete = read_chunks(out.body);
    else {
      out.body = read_all();
      out.complete = true;
    }
    return out;
  }

  void close() {
    if (socket_ >= 0)
      ::close(std::exchange(socket_, -1));
  }
  /// Ends the sending side only.
  void half_close() { ::shutdown(socket_, SHUT_WR); }

private:
  bool fill() {
    char buffer[16384];
    const auto count = ::recv(socket_, buffer, sizeof buffer, 0);
    if (count <= 0)
      return false;
    unread_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }
  bool take_line(std::string& line) {
    std::size_t end = 0;
    while ((end = unread_.find("\r\n")) == std::string::npos)
      if (!fill())
        return false;
    line = unread_.substr(0, end);
    unread_.erase(0, end + 2);
    return true;
  }
  bool take(std::size_t count, std::string& into) {
    while (unread_.size() < count)
      if (!fill())
        return false;
    into.append(unread_, 0, count);
    unread_.erase(0, count);
    return true;
  }
  bool read_head(http_answer& out) {
    std::string line;
    if (!take_line(line) || line.size() < 12)
      return false;
    out.status = std::atoi(line.c_str() + 9);
    while (take_line(line) && !line.empty()) {
      const auto colon = line.find(": ");
      out.headers[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return true;
  }
  bool read_chunks(std::string& body) {
    std::string line;
    while (take_line(line)) {
      const auto size = std::strtoul(line.c_str(), nullptr, 16);
      std::string crlf;
      if (!take(size, body) || !take(2, crlf))
        return false;
      if (size == 0)
        return true;
    }
    return false;
  }

  int socket_;
  bool connected_ = false;
  std::string unread_;
};

} // namespace consort::testing
