// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/test_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <cctype>

namespace consort::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

struct test_server::state {
  asio::io_context context;
  tcp::acceptor acceptor{context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::mutex guard;
  std::vector<std::shared_ptr<tcp::socket>>
      held; ///< Of silent and held answers; closed at the end.
  std::atomic<bool> stopping{false};
};

namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char letter) { return std::tolower(letter); });
  return text;
}

std::string render(const canned_answer& answer) {
  const bool stream = answer.type == "text/event-stream";
  std::string made = answer.before + "HTTP/1.1 " + std::to_string(answer.status)
                     + " x\r\nContent-Type: " + answer.type + "\r\n";
  if (!stream || answer.cut_short)
    made += "Content-Length: " + std::to_string(answer.body.size() + (answer.cut_short ? 9U : 0U))
            + "\r\n";
  for (const auto& [name, text] : answer.headers)
    made += name + ": " + text + "\r\n";
  return made + "Connection: close\r\n\r\n" + answer.body;
}

seen_request remember(const http::request<http::string_body>& request) {
  seen_request made{
      std::string(request.method_string()), std::string(request.target()), request.body(), {}};
  for (const auto& field : request)
    made.headers[lower(std::string(field.name_string()))] = std::string(field.value());
  return made;
}

} // namespace

test_server::test_server(std::map<std::string, canned_answer> routes)
    : routes_(std::move(routes)), state_(std::make_unique<state>()), thread_([this] { serve(); }) {}

test_server::~test_server() {
  state_->stopping = true;
  error_code ignored;
  tcp::socket knock(state_->context);
  knock.connect(state_->acceptor.local_endpoint(), ignored);
  thread_.join();
}

std::string test_server::url() const {
  return "http://127.0.0.1:" + std::to_string(state_->acceptor.local_endpoint().port());
}

std::vector<seen_request> test_server::seen() const {
  const std::lock_guard lock(guard_);
  return seen_;
}

canned_answer test_server::take(canned_answer& from) {
  const auto taken = from;
  if (from.times > 0 && --from.times == 0)
    from = canned_answer{
        404, R"({"error":{"message":"no such thing"}})", "application/json", {}, false, false};
  return taken;
}

void test_server::serve() {
  for (;;) {
    auto peer = std::make_shared<tcp::socket>(state_->context);
    error_code failed;
    state_->acceptor.accept(*peer, failed);
    if (failed || state_->stopping)
      return;
    boost::beast::flat_buffer buffer;
    http::request<http::string_body> request;
    http::read(*peer, buffer, request, failed);
    if (failed)
      continue;
    {
      const std::lock_guard lock(guard_);
      seen_.push_back(remember(request));
    }
    const auto found
        = routes_.find(std::string(request.method_string()) + " " + std::string(request.target()));
    const auto answer
        = found != routes_.end()
              ? take(found->second)
              : canned_answer{
                  404,  R"({"error":{"message":"no such thing"}})", "application/json", {}, false,
                  false};
    if (answer.silent) {
      state_->held.push_back(peer);
      continue;
    }
    asio::write(*peer, asio::buffer(render(answer)), failed);
    if (answer.held) {
      state_->held.push_back(peer);
      continue;
    }
    peer->shutdown(tcp::socket::shutdown_both, failed);
  }
}

std::string dead_url() {
  asio::io_context context;
  tcp::acceptor taken(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  return "http://127.0.0.1:" + std::to_string(taken.local_endpoint().port());
}

} // namespace consort::cli
