// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A tiny HTTP server on loopback that answers from a table and remembers what it was asked. One
/// thread, one connection at a time; stops when destroyed.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace consort::cli {

/// What to answer on one route. A `body` of type text/event-stream is sent and the connection shut.
struct canned_answer {
  int status = 200;
  std::string body;
  std::string type = "application/json";
  std::map<std::string, std::string> headers;
  bool silent = false;     ///< Reads the request and never answers.
  bool cut_short = false;  ///< Promises more bytes than it sends.
  int times = 0;           ///< Then 404; 0 = always.
  bool held = false;       ///< Sends the answer and keeps the connection.
  std::string before = {}; ///< Sent as it is before the answer's head.
};

struct seen_request {
  std::string method;
  std::string target;
  std::string body;
  std::map<std::string, std::string> headers; ///< Names in lower case.
};

class test_server {
public:
  /// Routes are `METHOD /target`; anything else is 404 with an OpenAI envelope.
  explicit test_server(std::map<std::string, canned_answer> routes);
  ~test_server();

  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::vector<seen_request> seen() const;

private:
  struct state;
  void serve();
  static canned_answer take(canned_answer& from);

  std::map<std::string, canned_answer> routes_;
  std::unique_ptr<state> state_;
  mutable std::mutex guard_;
  std::vector<seen_request> seen_; ///< Guarded.
  std::thread thread_;
};

/// A loopback port that nobody listens on.
[[nodiscard]] std::string dead_url();

} // namespace consort::cli
