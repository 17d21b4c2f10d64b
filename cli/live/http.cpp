// SPDX-License-Identifier: Apache-2.0
#include "cli/live/http.hpp"

#include "cli/live/limits.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace consort::live {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr auto beside = asio::as_tuple(asio::use_awaitable);

error unreachable(port_number port, const boost::system::error_code& why) {
  return {recovery::retry_later, "unreachable",
          "127.0.0.1:" + std::to_string(port) + ": " + why.message()};
}

} // namespace

task<result<whole_answer>> ask(port_number port, std::string method, std::string path,
                               std::string body) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  stream.expires_after(limits::ask_timeout);
  const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(), port);
  if (auto [failed] = co_await stream.async_connect(where, beside); failed)
    co_return unreachable(port, failed);
  http::request<http::string_body> asked(http::string_to_verb(method), path, 11);
  asked.set(http::field::host, "127.0.0.1:" + std::to_string(port));
  asked.set(http::field::connection, "close");
  if (!body.empty())
    asked.set(http::field::content_type, "application/json");
  asked.body() = std::move(body);
  asked.prepare_payload();
  if (auto [failed, sent] = co_await http::async_write(stream, asked, beside); failed)
    co_return unreachable(port, failed);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(limits::answer_bytes_max);
  if (auto [failed, got] = co_await http::async_read(stream, buffer, parser, beside); failed)
    co_return unreachable(port, failed);
  co_return whole_answer{parser.get().result_int(), std::move(parser.get().body())};
}

} // namespace consort::live
