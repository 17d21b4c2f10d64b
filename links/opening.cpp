// SPDX-License-Identifier: Apache-2.0
#include "links/opening.hpp"

#include <boost/asio/buffer.hpp>

#include <array>

namespace consort::links {

namespace asio = boost::asio;

task<opening> await_opening(asio::ip::tcp::socket& socket, bool tls) {
  opening out;
  std::array<char, opening_bytes> first{};
  std::size_t watermark = 1; // The kernel's default.
  for (std::size_t wanted = 1;;) {
    boost::system::error_code ignored;
    if (wanted != watermark)
      socket.set_option(asio::socket_base::receive_low_watermark(static_cast<int>(wanted)),
                        ignored);
    watermark = wanted;
    auto [unheard] = co_await socket.async_wait(asio::socket_base::wait_read, as_values);
    out.failed = unheard;
    std::size_t bytes = 0;
    if (!out.failed)
      bytes = socket.receive(asio::buffer(first), asio::socket_base::message_peek, out.failed);
    const auto there = out.failed ? 0 : socket.available(out.failed);
    if (!out.failed && there < wanted)
      out.failed = asio::error::eof;
    if (out.failed)
      co_return out;
    const std::span seen(first.data(), bytes);
    out.unlike = judge_opening(seen, tls);
    if (out.unlike)
      co_return out;
    const auto needed = opening_wanted(seen, tls);
    if (there >= needed)
      break;
    wanted = needed;
  }
  boost::system::error_code ignored;
  if (watermark != 1)
    socket.set_option(asio::socket_base::receive_low_watermark(1), ignored);
  co_return out;
}

} // namespace consort::links
