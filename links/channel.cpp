// SPDX-License-Identifier: Apache-2.0
#include "links/channel.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

namespace consort::links {

namespace asio = boost::asio;

std::pair<boost::system::error_code, std::size_t> channel::read_ready(asio::mutable_buffer into) {
  auto* const tls = std::get_if<tls_stream>(&stream_);
  if (tls == nullptr)
    return {};
  ERR_clear_error();
  std::size_t bytes = 0;
  const int read = SSL_read_ex(tls->native_handle(), into.data(), into.size(), &bytes);
  if (read == 1)
    return {{}, bytes};
  // A failure has to be told now: asked again, OpenSSL need not repeat it.
  switch (SSL_get_error(tls->native_handle(), read)) {
  case SSL_ERROR_WANT_READ:
  case SSL_ERROR_WANT_WRITE: return {};
  case SSL_ERROR_ZERO_RETURN: return {asio::error::eof, 0};
  default: break;
  }
  if (const auto code = ERR_get_error(); code != 0)
    return {boost::system::error_code(static_cast<int>(code), asio::error::get_ssl_category()), 0};
  return {asio::ssl::error::stream_truncated, 0};
}

std::pair<boost::system::error_code, std::size_t> channel::write_ready(asio::const_buffer from) {
  boost::system::error_code failed;
  std::size_t taken = 0;
  if (auto* const tls = std::get_if<tls_stream>(&stream_)) {
    if (tls->next_layer().idle())
      taken = tls->write_some(from, failed);
    return {failed, taken};
  }
  taken = std::get<tcp::socket>(stream_).write_some(asio::buffer(from), failed);
  if (failed == asio::error::would_block)
    return {};
  return {failed, taken};
}

void channel::keep_buffers(bool keep) {
  auto* const tls = std::get_if<tls_stream>(&stream_);
  if (tls == nullptr)
    return;
  if (keep)
    SSL_clear_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  else
    SSL_set_mode(tls->native_handle(), SSL_MODE_RELEASE_BUFFERS);
}

} // namespace consort::links
