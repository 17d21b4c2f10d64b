// SPDX-License-Identifier: Apache-2.0
#include "links/data_stream.hpp"

#include "links/tls_error.hpp"

#include <boost/asio/ssl/host_name_verification.hpp>

namespace consort::links {

task<result<peer_identity>> data_stream::greet(const credentials& own,
                                               boost::asio::ssl::stream_base::handshake_type side) {
  const auto context
      = side == boost::asio::ssl::stream_base::server ? own.server_context() : own.client_context();
  auto& tls = channel_.secure(*context);
  const auto [failed] = co_await tls.async_handshake(side, as_values);
  if (failed) {
    failure_ = describe_handshake(failed, tls.native_handle(), "the peer");
    co_return error{recovery::retry_elsewhere, "tls_failed",
                    "the TLS handshake failed: " + failed.message()};
  }
  co_return own.identify(tls.native_handle());
}

task<boost::system::error_code> data_stream::greet_stranger(boost::asio::ssl::context& authorities,
                                                            const std::string& host) {
  auto& tls = channel_.secure(authorities);
  boost::system::error_code ignored;
  tls.set_verify_mode(boost::asio::ssl::verify_peer, ignored);
  tls.set_verify_callback(
      [why = distrust_, host, names = boost::asio::ssl::host_name_verification(host)](
          bool good, boost::asio::ssl::verify_context& chain) {
        const bool believed = names(good, chain);
        if (!believed && why->empty())
          *why = good ? "it is not for " + host
                      : X509_verify_cert_error_string(
                          X509_STORE_CTX_get_error(chain.native_handle()));
        return believed;
      },
      ignored);
  // Many servers behind one address tell their certificates apart by it; an address is none.
  boost::system::error_code no_address;
  static_cast<void>(boost::asio::ip::make_address(host, no_address));
  if (no_address)
    SSL_set_tlsext_host_name(tls.native_handle(), host.c_str());
  const auto [failed]
      = co_await tls.async_handshake(boost::asio::ssl::stream_base::client, as_values);
  co_return failed;
}

void data_stream::cut_reading() {
  boost::system::error_code ignored;
  socket().shutdown(boost::asio::ip::tcp::socket::shutdown_receive, ignored);
}

void moving_deadline::set(duration_us from_now) {
  expired_ = false;
  at_ = clock::now() + std::chrono::microseconds(from_now);
  if (!armed_at_ || at_ < *armed_at_)
    arm(at_);
}

void moving_deadline::clear() {
  expired_ = false;
  at_ = clock::time_point::max();
}

void moving_deadline::stop() {
  at_ = clock::time_point::max();
  armed_at_.reset();
  action_ = nullptr;
  timer_.cancel();
}

void moving_deadline::arm(clock::time_point when) {
  armed_at_ = when;
  timer_.expires_at(when);
  timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code failed) {
    if (!failed && !life.expired())
      fired();
  });
}

void moving_deadline::fired() {
  armed_at_.reset();
  if (at_ == clock::time_point::max())
    return;
  if (clock::now() < at_)
    return arm(at_);
  at_ = clock::time_point::max();
  expired_ = true;
  if (const auto action = action_)
    action();
}

} // namespace consort::links
