// SPDX-License-Identifier: Apache-2.0
#include "cli/live/relay.hpp"

#include "cli/live/limits.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <set>
#include <vector>

namespace consort::live {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

/// Two sockets, one to each side.
struct joint {
  explicit joint(tcp::socket from, const asio::any_io_executor& on)
      : client(std::move(from)), server(on) {}
  void reset() {
    boost::system::error_code ignored;
    // A reset, as of a process that died: no orderly end.
    for (auto* side : {&client, &server}) {
      side->set_option(asio::socket_base::linger(true, 0), ignored);
      side->close(ignored);
    }
  }
  tcp::socket client;
  tcp::socket server;
};

} // namespace

struct relay::shell : std::enable_shared_from_this<shell> {
  explicit shell(asio::io_context& on) : io(on), acceptor(on), opened(on) {
    opened.expires_at(asio::steady_timer::time_point::max());
  }

  task<void> take();
  task<void> serve(std::shared_ptr<joint> pair);
  task<void> pump(std::shared_ptr<joint> pair, bool forth);
  task<void> wait_while_held(bool forth);
  void reset_all() {
    for (const auto& pair : std::set(joints))
      pair->reset();
  }

  asio::io_context& io;
  tcp::acceptor acceptor;
  asio::steady_timer opened; ///< Cancelled whenever something is held no more.
  std::set<std::shared_ptr<joint>> joints;
  port_number target = 0;
  bool held_forth = false;
  bool held_back = false;
  bool broken = false;
  bool stopped = false;
};

task<void> relay::shell::take() {
  const auto self = shared_from_this();
  while (!stopped) {
    auto [failed, socket] = co_await acceptor.async_accept(as_tuple);
    if (failed || stopped)
      co_return;
    const auto pair = std::make_shared<joint>(std::move(socket), io.get_executor());
    if (broken)
      pair->reset();
    else
      asio::co_spawn(io, serve(pair), asio::detached);
  }
}

task<void> relay::shell::serve(std::shared_ptr<joint> pair) {
  const auto self = shared_from_this();
  joints.insert(pair);
  co_await wait_while_held(true);
  const tcp::endpoint where(asio::ip::address_v4::loopback(), target);
  boost::system::error_code failed = asio::error::connection_refused;
  if (target != 0 && pair->client.is_open()) {
    auto [outcome] = co_await pair->server.async_connect(where, as_tuple);
    failed = outcome;
  }
  if (failed) {
    pair->reset();
    joints.erase(pair);
    co_return;
  }
  for (auto* side : {&pair->client, &pair->server}) {
    boost::system::error_code ignored;
    side->set_option(tcp::no_delay(true), ignored);
  }
  asio::co_spawn(io, pump(pair, true), asio::detached);
  co_await pump(pair, false);
}

task<void> relay::shell::pump(std::shared_ptr<joint> pair, bool forth) {
  const auto self = shared_from_this();
  auto& from = forth ? pair->client : pair->server;
  auto& to = forth ? pair->server : pair->client;
  std::vector<char> piece(limits::relay_piece_bytes);
  for (;;) {
    auto [ended, count] = co_await from.async_read_some(asio::buffer(piece), as_tuple);
    co_await wait_while_held(forth);
    if (ended)
      break;
    auto [failed, sent]
        = co_await asio::async_write(to, asio::buffer(piece.data(), count), as_tuple);
    if (failed)
      break;
  }
  pair->reset();
  joints.erase(pair);
}

task<void> relay::shell::wait_while_held(bool forth) {
  const auto self = shared_from_this();
  while ((forth ? held_forth : held_back) && !stopped)
    co_await opened.async_wait(as_tuple);
}

relay::relay(std::shared_ptr<shell> started) : shell_(std::move(started)) {}

relay::~relay() {
  boost::system::error_code ignored;
  shell_->stopped = true;
  shell_->acceptor.close(ignored);
  shell_->reset_all();
  shell_->opened.cancel();
}

result<std::unique_ptr<relay>> relay::start(asio::io_context& io, const std::string& host) {
  auto made = std::make_shared<shell>(io);
  boost::system::error_code failed;
  const auto address = asio::ip::make_address_v4(host, failed);
  if (!failed)
    made->acceptor.open(tcp::v4(), failed);
  if (!failed)
    made->acceptor.bind({address, 0}, failed);
  if (!failed)
    made->acceptor.listen(asio::socket_base::max_listen_connections, failed);
  if (failed)
    return error{recovery::retry_later, "no_port", "no port for a link: " + failed.message()};
  asio::co_spawn(io, made->take(), asio::detached);
  return std::unique_ptr<relay>(new relay(std::move(made)));
}

port_number relay::port() const {
  boost::system::error_code ignored;
  return shell_->acceptor.local_endpoint(ignored).port();
}

void relay::lead_to(port_number target) {
  shell_->target = target;
}

void relay::hold(bool forth, bool back) {
  shell_->held_forth = forth;
  shell_->held_back = back;
  shell_->opened.cancel();
}

void relay::cut(bool broken) {
  shell_->broken = broken;
  if (broken)
    shell_->reset_all();
}

std::size_t relay::connections() const {
  return shell_->joints.size();
}

} // namespace consort::live
