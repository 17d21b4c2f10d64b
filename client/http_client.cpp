// SPDX-License-Identifier: Apache-2.0
#include "client/http_client.hpp"

#include "client/limits.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace consort::transport {

namespace beast = boost::beast;
namespace http = beast::http;
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

error unreachable(const std::string& url, const std::string& why) {
  return {recovery::retry_later, "unreachable",
          "cannot reach " + url + " (" + why
              + "): is a cluster running? start one with: consort up"};
}

error broke_off(const std::string& url, const error_code& why) {
  const bool timed_out = why == beast::error::timeout;
  return {recovery::retry_later, "failed",
          "no whole answer from " + url + " (" + (timed_out ? "timed out" : why.message())
              + "): see the server's log, then try again"};
}

error cancelled() {
  return {recovery::refuse, "cancelled", "it was stopped by its caller"};
}

/// One connection, its operations made blocking: each runs the io_context until it is done, and the
/// stream's own timer or `*cancel` ends it.
class connection {
public:
  connection(std::chrono::milliseconds timeout, const std::atomic<bool>* cancel)
      : timeout_(timeout), cancel_(cancel) {}

  std::optional<error> open(const http_target& target, const std::string& url) {
    asio::ip::tcp::resolver resolver(context_);
    error_code failed;
    const auto found = resolver.resolve(target.host, target.port, failed);
    if (failed)
      return unreachable(url, failed.message());
    stream_.expires_after(limits::connect_timeout);
    stream_.async_connect(found, [&](const error_code& why, const auto&) { failed = why; });
    run();
    if (failed)
      return unreachable(url, failed == beast::error::timeout ? "timed out" : failed.message());
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), failed);
    return std::nullopt;
  }

  error_code send(const http::request<http::string_body>& request) {
    error_code failed;
    stream_.expires_after(timeout_);
    http::async_write(stream_, request, [&](const error_code& why, std::size_t) { failed = why; });
    run();
    return failed;
  }

  template <class Parser>
  error_code read_header(Parser& parser) {
    error_code failed;
    stream_.expires_after(timeout_);
    http::async_read_header(stream_, buffer_, parser,
                            [&](const error_code& why, std::size_t) { failed = why; });
    run();
    return failed;
  }

  template <class Parser>
  error_code read_some(Parser& parser) {
    error_code failed;
    stream_.expires_after(timeout_);
    http::async_read_some(stream_, buffer_, parser,
                          [&](const error_code& why, std::size_t) { failed = why; });
    run();
    return failed;
  }

  /// Whether an operation was ended because of that: whatever it says, the connection is closed.
  [[nodiscard]] bool stopped() const { return stopped_; }

private:
  void run() {
    // Each operation runs the context until it has nothing left, which is when it is done.
    context_.restart();
    while (cancel_ != nullptr && !stopped_ && !context_.stopped()) {
      if (*cancel_) {
        stopped_ = true;
        stream_.close();
      } else {
        context_.run_for(limits::cancel_look); // Returns at once when nothing is left.
      }
    }
    context_.run();
  }

  asio::io_context context_;
  beast::tcp_stream stream_{context_};
  beast::flat_buffer buffer_;
  std::chrono::milliseconds timeout_;
  const std::atomic<bool>* cancel_;
  bool stopped_ = false;
};

using body_parser = http::response_parser<http::buffer_body>;

/// Reads the rest of the body piece by piece into `take`, which returns false to stop.
error_code read_body(connection& link, body_parser& parser,
                     const std::function<bool(std::string_view)>& take) {
  std::array<char, 16 * 1024> piece{};
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    auto failed = link.read_some(parser);
    // The buffer is full, not the body: hand over the piece and read on.
    if (failed == http::error::need_buffer)
      failed = {};
    const auto read = piece.size() - parser.get().body().size;
    if (!take({piece.data(), read}))
      return {};
    if (failed)
      return failed;
    if (link.stopped())
      return asio::error::operation_aborted;
  }
  return {};
}

http::request<http::string_body> to_beast(const http_request& request, const http_target& target,
                                          const std::string& api_key) {
  http::request<http::string_body> made;
  made.version(11);
  made.method_string(request.method);
  made.target(target.prefix + request.path);
  made.set(http::field::host, target.host + ":" + target.port);
  made.set(http::field::user_agent, "consort/" CONSORT_VERSION);
  if (!api_key.empty())
    made.set(http::field::authorization, "Bearer " + api_key);
  if (!request.body.empty())
    made.set(http::field::content_type, "application/json");
  for (const auto& [name, text] : request.headers)
    made.set(name, text);
  made.body() = request.body;
  made.prepare_payload();
  return made;
}

http_answer head_of(const body_parser& parser) {
  http_answer made;
  made.status = parser.get().result_int();
  for (const auto& field : parser.get()) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char letter) { return std::tolower(letter); });
    made.headers[name] = std::string(field.value());
  }
  return made;
}

} // namespace

result<http_target> parse_url(const std::string& url) {
  const error malformed{recovery::refuse, "usage",
                        "`" + url + "` is not a server address such as http://127.0.0.1:8080"};
  if (url.rfind("https://", 0) == 0)
    return error{recovery::refuse, "usage",
                 "`" + url
                     + "`: TLS is not spoken here; name an http:// address, of the server or "
                       "of a tunnel to it on this host"};
  constexpr std::string_view scheme = "http://";
  if (url.rfind(scheme, 0) != 0)
    return malformed;
  const auto rest = url.substr(scheme.size());
  const auto slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  http_target made;
  made.prefix = slash == std::string::npos ? "" : rest.substr(slash);
  while (!made.prefix.empty() && made.prefix.back() == '/')
    made.prefix.pop_back();
  made.port = "80";
  const auto colon = authority.rfind(':');
  // A colon inside brackets belongs to an IPv6 address.
  if (colon != std::string::npos && authority.find(']', colon) == std::string::npos) {
    made.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  if (authority.size() >= 2 && authority.front() == '[' && authority.back() == ']')
    authority = authority.substr(1, authority.size() - 2);
  made.host = authority;
  const bool digits = !made.port.empty() && made.port.size() <= 5
                      && made.port.find_first_not_of("0123456789") == std::string::npos;
  if (made.host.empty() || !digits || std::stoi(made.port) > 65535)
    return malformed;
  return made;
}

http_client::http_client(std::string base_url, std::string api_key)
    : base_url_(std::move(base_url)), api_key_(std::move(api_key)) {}

result<http_answer> http_client::call(const http_request& request,
                                      std::chrono::milliseconds timeout) {
  return stream(request, {}, timeout);
}

result<http_answer> http_client::stream(const http_request& request,
                                        const links::sse_parser::handler& on_event,
                                        std::chrono::milliseconds gap,
                                        const std::atomic<bool>* cancel) {
  const auto target = parse_url(base_url_);
  if (!target)
    return target.failure();
  if (cancel != nullptr && *cancel)
    return cancelled();
  connection link(gap, cancel);
  const auto broken = [&](const error_code& why) {
    return link.stopped() ? cancelled() : broke_off(base_url_, why);
  };
  if (auto failed = link.open(*target, base_url_))
    return link.stopped() ? cancelled() : *failed;
  if (const auto failed = link.send(to_beast(request, *target, api_key_)))
    return broken(failed);
  body_parser parser;
  // Streams have no length; whole bodies are bounded below.
  parser.body_limit(boost::none);
  if (const auto failed = link.read_header(parser))
    return broken(failed);
  auto answer = head_of(parser);
  const bool events = on_event && answer.headers["content-type"].rfind("text/event-stream", 0) == 0;
  links::sse_parser reader(on_event);
  bool too_large = false;
  const auto failed = read_body(link, parser, [&](std::string_view piece) {
    if (events)
      return reader.feed(piece);
    answer.body += piece;
    too_large = answer.body.size() > limits::response_bytes_max;
    return !too_large;
  });
  if (failed)
    return broken(failed);
  if (too_large || reader.too_long())
    return error{recovery::refuse, "failed", "the answer of " + base_url_ + " is too large"};
  return answer;
}

} // namespace consort::transport
