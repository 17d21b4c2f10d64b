// SPDX-License-Identifier: Apache-2.0
#include "links/dialler.hpp"

#include "links/address.hpp"
#include "links/refusal.hpp"
#include "links/tls_error.hpp"

#include <algorithm>

namespace consort::links {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::size_t host_bytes_max = 253; ///< Of a name in the name service.

error later(const char* code, std::string message) {
  return {recovery::retry_later, code, std::move(message)};
}

std::optional<asio::ip::address> literal_of(const std::string& host) {
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, failed);
  return failed ? std::nullopt : std::optional(address);
}

} // namespace

std::optional<error> check_target(const connector_options& options) {
  if (options.host.empty() || options.host.size() > host_bytes_max || options.port == 0)
    return refuse("bad_address", "`" + format_address({options.host, options.port})
                                     + "` is no address to dial; use HOST:PORT");
  const auto literal = literal_of(options.host);
  if (!options.credentials && !(literal && literal->is_loopback()))
    return refuse("address_unprotected", "a link to " + options.host
                                             + " needs certificates; make them with `consort "
                                               "cert`, or stay on 127.0.0.1");
  return std::nullopt;
}

dialler::dialler(asio::any_io_executor strand, const connector_options& options)
    : strand_(std::move(strand)), options_(options), names_(strand_), limit_(strand_) {}

void dialler::cut() {
  cut_ = true;
  end_step();
}

void dialler::end_step() {
  names_.cancel();
  if (stream_)
    stream_->cut();
}

void dialler::limit(duration_us span) {
  limit_.set(span, [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->end_step();
  });
}

task<result<std::shared_ptr<link_core>>> dialler::dial() {
  const auto self = shared_from_this();
  const auto endpoints = co_await resolve();
  if (!endpoints)
    co_return endpoints.failure();
  error last = later("no_such_host", options_.host + " has no address");
  for (const auto& where : *endpoints) {
    if (cut_)
      break;
    auto made = co_await dial_endpoint(where);
    if (made)
      co_return made;
    last = made.failure();
  }
  co_return last;
}

task<result<std::vector<dialler::endpoint>>> dialler::resolve() {
  std::vector<endpoint> endpoints;
  if (const auto literal = literal_of(options_.host)) {
    endpoints.emplace_back(*literal, options_.port);
    co_return endpoints;
  }
  limit(options_.limits.resolve);
  auto found = co_await names_.find(options_.host, options_.port);
  limit_.clear();
  if (found.failed)
    co_return later("no_such_host", "cannot look up " + options_.host + ": "
                                        + (found.failed == asio::error::operation_aborted
                                               ? std::string("no answer in time")
                                               : found.failed.message()));
  found.ends.resize(std::min(found.ends.size(), limits::endpoints_max));
  co_return std::move(found.ends);
}

task<result<std::shared_ptr<link_core>>> dialler::dial_endpoint(const endpoint& where) {
  const auto address = format_address({options_.host, options_.port});
  stream_.emplace(tcp::socket(strand_));
  limit(options_.limits.connect);
  auto [failed] = co_await stream_->socket().async_connect(where, as_values);
  if (failed)
    co_return later("cannot_connect",
                    "cannot reach " + address + ": "
                        + (limit_.expired() ? std::string("no answer in time") : failed.message()));
  stream_->hurry();
  limit(options_.limits.handshake);
  auto peer = co_await shake_hands(address);
  limit_.clear();
  if (!peer) {
    stream_->cut();
    co_return peer.failure();
  }
  auto watch = std::make_unique<session>(options_.limits, steady_now_us());
  watch->admit(peer->role, nullptr);
  watch->greet();
  auto core = std::make_shared<link_core>(link_core::parts{
      std::move(*stream_), std::move(watch), nullptr, std::move(*peer), address, options_.limits});
  stream_.reset();
  co_return core;
}

/// Without certificates the other end is taken for what was to be dialled; its answer to the hello
/// tells more.
task<result<peer_identity>> dialler::shake_hands(const std::string& address) {
  if (!options_.credentials)
    co_return peer_identity{{}, options_.expected, address, {}, 0};
  const auto context = options_.credentials->client_context();
  auto& tls = stream_->secure(*context);
  auto [failed] = co_await tls.async_handshake(asio::ssl::stream_base::client, as_values);
  if (failed) {
    if (limit_.expired())
      co_return later("handshake_timeout", address + " did not finish the TLS handshake in time");
    co_return describe_handshake(failed, tls.native_handle(), address);
  }
  auto identity = options_.credentials->identify(tls.native_handle());
  if (identity && identity->role != options_.expected)
    co_return refuse("wrong_role", "the certificate of " + address + " is a "
                                       + std::string(name_of(identity->role)) + "'s, not a "
                                       + std::string(name_of(options_.expected)) + "'s");
  co_return identity;
}

} // namespace consort::links
