// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model hub and the other host that it keeps its files on, both on loopback: the hub's API as
/// far as we use it, and everything that can go wrong with it. One thread each, one connection at a
/// time.

#include "node/file_digest.hpp"
#include "tests/support/raw_http.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>

namespace consort::node::test {

/// Answers every connection by a handler until it goes.
class tiny_server {
public:
  using tcp = boost::asio::ip::tcp;
  /// Gets the head of a request.
  using handler = std::function<void(const std::string& head, tcp::socket& socket)>;

  explicit tiny_server(handler handle)
      : acceptor_(io_, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)),
        port_(acceptor_.local_endpoint().port()),
        thread_([this, handle = std::move(handle)] { run(handle); }) {}
  ~tiny_server() {
    ending_ = true;
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] bool ending() const { return ending_; }

private:
  void run(const handler& handle) {
    for (;;) {
      boost::system::error_code failed;
      tcp::socket socket(io_);
      acceptor_.accept(socket, failed);
      if (failed)
        return;
      handle(testing::scripted_server::read_head(socket), socket);
      socket.shutdown(tcp::socket::shutdown_both, failed);
    }
  }

  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  const std::uint16_t port_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

class fake_hub {
public:
  using tcp = boost::asio::ip::tcp;
  static constexpr const char* commit = "0123456789abcdef0123456789abcdef01234567";

  explicit fake_hub(std::string content)
      : content_(std::move(content)),
        files_([this](const std::string& head, tcp::socket& socket) { serve_file(head, socket); }),
        hub_([this](const std::string& head, tcp::socket& socket) { serve(head, socket); }) {}

  [[nodiscard]] std::string endpoint() const { return "http://" + hub_.address(); }
  [[nodiscard]] std::string file_url() const { return "http://" + files_.address() + "/plain"; }
  [[nodiscard]] digest sha256() const { return hash_text(content_); }
  /// What is in the repository.
  std::vector<std::string> names{"README.md", "tiny.gguf"};
  /// Refused by the hub itself with this status, and this further header line.
  std::atomic<unsigned> status = 200;
  std::string further;
  bool linked = true; ///< Names the SHA-256.
  /// Further files by name, which the hub gives itself and knows no SHA-256 of.
  std::map<std::string, std::string> small;

  /// What goes wrong with the next `times` answers that carry the file: `drop` (half of what was
  /// asked for comes), `short` (a file of half the length), `long` (more than was said), `flip`,
  /// `page`, `slow` (nothing comes), `forget` (the range is not looked at), `astray` (a part that
  /// was not asked for), `busy`, `ring`.
  void go_wrong(const std::string& how, int times) {
    const std::scoped_lock lock(guard_);
    fault_ = how;
    faults_left_ = times;
  }
  [[nodiscard]] std::vector<std::string> seen() const { return copy(seen_); }
  [[nodiscard]] std::vector<std::string> seen_by_files() const { return copy(seen_by_files_); }

private:
  [[nodiscard]] std::vector<std::string> copy(const std::vector<std::string>& of) const {
    const std::scoped_lock lock(guard_);
    return of;
  }
  static void say(tcp::socket& socket, const std::string& status, const std::string& headers,
                  const std::string& body = "") {
    testing::scripted_server::write(socket, "HTTP/1.1 " + status + "\r\n" + headers
                                                + "Content-Length: " + std::to_string(body.size())
                                                + "\r\n\r\n" + body);
  }

  void serve(const std::string& head, tcp::socket& socket) {
    {
      const std::scoped_lock lock(guard_);
      seen_.push_back(head);
    }
    if (status != 200)
      return say(socket, std::to_string(status) + " No", further);
    if (head.find(" /api/models/org/repo/revision/") != std::string::npos)
      return say(socket, "200 OK", "Content-Type: application/json\r\n", listing());
    if (head.find(" /org/repo/resolve/") == std::string::npos)
      return say(socket, "404 Not Found", "");
    const auto kept = std::find_if(small.begin(), small.end(), [&](const auto& one) {
      return head.find(std::string(commit) + "/" + one.first + " ") != std::string::npos;
    });
    if (kept != small.end())
      return testing::scripted_server::write(
          socket, "HTTP/1.1 200 OK\r\nETag: \"" + std::string(commit)
                      + "\"\r\nContent-Length: " + std::to_string(kept->second.size()) + "\r\n\r\n"
                      + (head.starts_with("HEAD ") ? "" : kept->second));
    std::string headers = "Location: http://" + files_.address() + "/signed?key=secret\r\n";
    if (linked)
      headers += "X-Linked-Etag: \"" + sha256().value
                 + "\"\r\nX-Linked-Size: " + std::to_string(content_.size()) + "\r\n";
    say(socket, "302 Found", headers);
  }

  [[nodiscard]] std::string listing() const {
    std::string files;
    for (const auto& name : names)
      files += (files.empty() ? "" : ",") + ("{\"rfilename\":\"" + name + "\"}");
    return "{\"sha\":\"" + std::string(commit) + "\",\"siblings\":[" + files + "]}";
  }

  std::string next_fault() {
    const std::scoped_lock lock(guard_);
    return faults_left_-- > 0 ? fault_ : std::string();
  }

  void serve_file(const std::string& head, tcp::socket& socket) {
    {
      const std::scoped_lock lock(guard_);
      seen_by_files_.push_back(head);
    }
    const auto fault = next_fault();
    if (fault == "slow")
      return testing::scripted_server::await_end(socket);
    if (fault == "busy")
      return say(socket, "429 Too Many", "Retry-After: 0\r\n");
    if (fault == "ring")
      return say(socket, "302 Found", "Location: /signed?again\r\n");
    if (fault == "page")
      return say(socket, "200 OK", "Content-Type: text/html\r\n", "<html>log in</html>");
    send(head, fault, socket);
  }

  void send(const std::string& head, const std::string& fault, tcp::socket& socket) const {
    auto file = content_;
    if (fault == "flip")
      file[file.size() / 2] ^= 1;
    if (fault == "short")
      file.resize(file.size() / 2);
    std::size_t from = 0, to = file.size() - 1;
    const auto range = head.find("\r\nRange: bytes=");
    const bool asked = range != std::string::npos && fault != "forget";
    const bool part = asked || fault == "astray";
    if (asked) {
      char dash = 0;
      std::istringstream text(head.substr(range + 15, 48));
      text >> from >> dash;
      if (std::size_t last = 0; text >> last)
        to = std::min(to, last);
    }
    if (from >= file.size())
      return say(socket, "416 No",
                 "Content-Range: bytes */" + std::to_string(file.size()) + "\r\n");
    if (fault == "astray")
      ++from;
    auto body = file.substr(from, to - from + 1);
    std::string headers = "ETag: \"v1\"\r\n";
    if (part)
      headers += "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(to) + "/"
                 + std::to_string(file.size()) + "\r\n";
    headers += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    if (fault == "drop")
      body.resize(body.size() / 2);
    testing::scripted_server::write(socket, (part ? "HTTP/1.1 206 Part\r\n" : "HTTP/1.1 200 OK\r\n")
                                                + headers + body);
  }

  const std::string content_;
  mutable std::mutex guard_;
  std::string fault_;
  int faults_left_ = 0;
  std::vector<std::string> seen_, seen_by_files_;
  tiny_server files_, hub_;
};

} // namespace consort::node::test
