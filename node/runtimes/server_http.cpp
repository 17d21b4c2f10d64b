// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_http.hpp"

#include "links/address.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace consort::node {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using links::as_values;
using links::task;

namespace {

/// Whom the host trusts, read once; SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL has them.
asio::ssl::context& public_authorities() {
  static asio::ssl::context known = [] {
    asio::ssl::context made(asio::ssl::context::tls_client);
    boost::system::error_code ignored; // Without any, no certificate is good.
    made.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, ignored);
    made.set_default_verify_paths(ignored);
    return made;
  }();
  return known;
}

} // namespace

result<server_address> parse_server_url(const std::string& url) {
  // It is shown in messages, and what is before an @ is a secret.
  if (const auto scheme = url.find("//"); scheme != std::string::npos)
    if (url.substr(0, url.find('/', scheme + 2)).find('@') != std::string::npos)
      return error{recovery::refuse, "bad_url",
                   "an address must not hold a name or password: use `key_env`"};
  const error bad{recovery::refuse, "bad_url",
                  "`" + url + "` is not http://HOST:PORT or https://HOST, with or without a path"};
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    return bad;
  const auto rest = std::string_view(url).substr(url.find("//") + 2);
  const auto slash = rest.find('/');
  std::string authority(rest.substr(0, slash));
  const bool has_port = authority.find(':', authority.rfind(']') + 1) != std::string::npos;
  const auto address
      = links::parse_address(has_port ? authority : authority + (tls ? ":443" : ":80"));
  if (!address)
    return bad;
  server_address out;
  out.host = address->host;
  out.port = address->port;
  out.tls = tls;
  if (slash != std::string_view::npos)
    out.prefix = rest.substr(slash);
  while (out.prefix.ends_with('/'))
    out.prefix.pop_back();
  if (out.prefix.ends_with("/v1"))
    out.prefix.resize(out.prefix.size() - 3);
  // It becomes part of a request line.
  for (const char c : out.prefix)
    if (c <= ' ' || c >= 0x7f || c == '?' || c == '#')
      return bad;
  return out;
}

result<std::uint16_t> free_loopback_port(asio::io_context& io) {
  boost::system::error_code failed;
  asio::ip::tcp::acceptor one(io);
  const asio::ip::tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
  one.open(any.protocol(), failed);
  if (!failed)
    one.bind(any, failed);
  if (failed)
    return error{recovery::retry_later, "no_port", "no free port: " + failed.message()};
  return one.local_endpoint().port();
}

server_http::server_http(const asio::any_io_executor& strand, const server_address& at)
    : at_(at),
      stream_(asio::ip::tcp::socket(strand)),
      names_(strand),
      deadline_(strand, [this] { cut(); }) {
  await_head();
}

void server_http::cut() {
  cut_ = true;
  names_.cancel();
  stream_.cut();
}

error server_http::lost(const char* code, const std::string& why) const {
  const bool late = deadline_.expired();
  return {recovery::retry_elsewhere, late ? "server_stalled" : code,
          "the model server at " + links::format_address(links::host_port{at_.host, at_.port})
              + ": " + (late ? "nothing came in time" : why)};
}

task<boost::system::error_code> server_http::connect() {
  deadline_.set(at_.tls ? limits::server_greet_us : limits::server_connect_us);
  const auto refused = co_await reach();
  if (refused || !at_.tls)
    co_return refused;
  const auto unknown = co_await stream_.greet_stranger(public_authorities(), at_.host);
  no_tls_ = static_cast<bool>(unknown);
  co_return unknown;
}

/// TCP, by name or address.
task<boost::system::error_code> server_http::reach() {
  const auto found = co_await names_.find(at_.host, at_.port);
  if (found.failed)
    co_return found.failed;
  // What cut() closed would be opened again.
  if (cut_)
    co_return asio::error::operation_aborted;
  const auto [refused, end] = co_await asio::async_connect(stream_.socket(), found.ends, as_values);
  if (cut_)
    cut();
  if (refused || cut_)
    co_return refused ? refused : asio::error::operation_aborted;
  boost::system::error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return boost::system::error_code{};
}

void server_http::await_head() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits::server_head_bytes_max));
  parser_->body_limit(boost::none);
}

/// The answer's own: what comes before it tells nothing that is needed (RFC 9110, 15.2). Nobody
/// asked for another protocol, so that 101 is an answer, and a wrong one. Returns: why there is
/// none; empty when there is one.
task<std::string> server_http::read_head(boost::system::error_code unsent) {
  for (std::size_t interim = 0; interim <= limits::server_interim_heads_max; ++interim) {
    const auto [failed, size]
        = co_await http::async_read_header(stream_, buffer_, *parser_, as_values);
    if (failed == http::error::bad_version)
      co_return "what it answers is no HTTP";
    if (failed)
      co_return unsent ? unsent.message() : failed.message();
    const auto status = parser_->get().result_int();
    if (status / 100 != 1 || status == 101)
      co_return std::string();
    await_head();
  }
  co_return "more than " + std::to_string(limits::server_interim_heads_max)
      + " interim answers (1xx) and none of its own";
}

/// Acknowledges what came at once. A server that leaves Nagle's algorithm on holds its next piece
/// back until then, for the kernel's 40 ms or more. The kernel forgets it: asked for at each read.
void server_http::hurry_acknowledgement() {
  const int on = 1;
  (void)::setsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

std::string server_http::api(const std::string& path) const {
  constexpr std::string_view usual = "/v1";
  return path.starts_with(usual) ? at_.base + path.substr(usual.size()) : path;
}

task<result<unsigned>> server_http::ask(const std::string& path, const std::string& body,
                                        duration_us head_us, const std::function<void()>& sent) {
  const auto refused = co_await connect();
  if (refused && !stream_.distrust().empty())
    co_return error{recovery::retry_elsewhere, "server_untrusted",
                    "the model server at "
                        + links::format_address(links::host_port{at_.host, at_.port})
                        + ": its certificate is not believed: " + stream_.distrust()
                        + " (authorities are this host's, or those of SSL_CERT_FILE)"};
  if (refused)
    co_return lost("server_unreachable", no_tls_ ? "its TLS handshake failed: " + refused.message()
                                                       + "; does it speak http:// there?"
                                                 : refused.message());
  std::string request
      = (body.empty() ? "GET " : "POST ") + at_.prefix + path
        + " HTTP/1.1\r\nHost: " + links::format_address(links::host_port{at_.host, at_.port})
        + "\r\nConnection: close\r\nAccept: text/event-stream, application/json\r\n";
  if (!at_.key.empty())
    request += "Authorization: Bearer " + at_.key + "\r\n";
  if (!body.empty())
    request += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size())
               + "\r\n";
  request += "\r\n" + body;
  deadline_.set(head_us);
  const auto from = asio::buffer(request);
  // A server may answer before it has read the whole of what it refuses.
  const auto [unsent, bytes] = co_await asio::async_write(stream_, from, as_values);
  if (!unsent && sent)
    sent();
  const auto wrong = co_await read_head(unsent);
  if (!wrong.empty())
    co_return lost("server_broke_off", wrong);
  co_return parser_->get().result_int();
}

bool server_http::event_stream() const {
  const auto type = parser_->get()[http::field::content_type];
  return boost::beast::iequals(type.substr(0, type.find(';')), "text/event-stream");
}

std::string server_http::location() const {
  return std::string(parser_->get()[http::field::location]);
}

std::vector<std::pair<std::string, std::string>> server_http::headers() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& field : parser_->get())
    out.emplace_back(field.name_string(), field.value());
  return out;
}

task<result<std::size_t>> server_http::read(std::span<char> into, duration_us silence_us) {
  auto& body = parser_->get().body();
  std::size_t got = 0;
  while (got == 0 && !parser_->is_done()) {
    body.data = into.data();
    body.size = into.size();
    deadline_.set(silence_us);
    const auto [failed, size]
        = co_await http::async_read_some(stream_, buffer_, *parser_, as_values);
    hurry_acknowledgement();
    got = into.size() - body.size;
    if (failed == http::error::partial_message)
      co_return lost("server_broke_off", "it closed the connection before the answer's end");
    if (failed && failed != http::error::need_buffer)
      co_return lost("server_broke_off", failed.message());
  }
  deadline_.clear();
  co_return got;
}

task<std::string> server_http::read_text(std::size_t bytes_max, duration_us silence_us) {
  std::string text(bytes_max, '\0');
  std::size_t have = 0;
  while (have < bytes_max) {
    const auto into = std::span(text).subspan(have);
    const auto got = co_await read(into, silence_us);
    if (!got || *got == 0)
      break;
    have += *got;
  }
  text.resize(have);
  co_return text;
}

} // namespace consort::node
