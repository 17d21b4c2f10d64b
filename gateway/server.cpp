// SPDX-License-Identifier: Apache-2.0
#include "gateway/server.hpp"

#include "gateway/connection.hpp"
#include "gateway/context.hpp"
#include "gateway/crowd.hpp"
#include "gateway/listen.hpp"
#include "gateway/log.hpp"
#include "gateway/router.hpp"
#include "links/admission.hpp"
#include "links/channel.hpp"
#include "links/essential.hpp"
#include "links/task.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include <map>
#include <set>

namespace consort::gateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using links::as_values;
using std::chrono::microseconds;

/// Everything of a server; connections keep it alive. Members below `strand` are touched on it
/// only.
struct server::state : std::enable_shared_from_this<server::state> {
  state(asio::io_context& on, server_config with, scheduler_port& to, attempt_resolver by,
        tcp::acceptor listening);

  struct client {
    std::shared_ptr<connection> one;
    std::string address;
    std::string key; ///< What that counts as.
  };

  task<void> accept_loop();
  task<void> await_place();
  void make_room();
  void admit(tcp::socket socket, const asio::ip::address& from);
  void begin_stop(std::function<void()> stopped);
  task<void> wait_for_clients(duration_us at_most);
  task<void> finish_stop();
  void hurry();
  void ended(std::uint64_t number);

  asio::io_context& io;
  gateway_context context;
  const request_handler handle;
  const tcp::endpoint bound;

  asio::strand<asio::io_context::executor_type> strand;
  tcp::acceptor acceptor;
  asio::steady_timer changed;              ///< Rung when a connection ends or a stop is hurried.
  std::map<std::uint64_t, client> clients; ///< In order of arrival.
  std::uint64_t arrived = 0;
  std::set<std::uint64_t> leaving; ///< Asked to give way, not yet gone.
  links::quiet_log crowded{limits::crowd_log_us};
  std::vector<std::function<void()>> stopped_calls;
  bool accepting = true;
  bool hurried = false;
  bool finished = false;
};

server::state::state(asio::io_context& on, server_config with, scheduler_port& to,
                     attempt_resolver by, tcp::acceptor listening)
    : io(on),
      context(std::move(with), to, std::move(by)),
      handle([this](const http_request& request, exchange& out) {
        return dispatch(context, request, out);
      }),
      bound(listening.local_endpoint()),
      strand(asio::make_strand(on)),
      acceptor(std::move(listening)),
      changed(strand) {}

task<void> server::state::accept_loop() {
  const auto self = shared_from_this();
  tcp::endpoint peer; // As accept() has it: the peer may be gone before anybody asks its socket.
  while (accepting) {
    auto [failed, socket]
        = co_await acceptor.async_accept(asio::make_strand(io.get_executor()), peer, as_values);
    if (!accepting)
      break;
    if (failed) { // Most likely no descriptors are left.
      log().warn("accept failed: {}", failed.message());
      make_room();
      changed.expires_after(microseconds(limits::accept_backoff_us));
      co_await changed.async_wait(as_values);
      continue;
    }
    co_await await_place();
    if (accepting)
      admit(tcp::socket(std::move(socket)), peer.address());
  }
}

/// At the bound one waits here, and the others in the kernel's queue, until one of ours ends.
task<void> server::state::await_place() {
  while (accepting && clients.size() >= context.config.limits.connections) {
    if (leaving.empty())
      make_room();
    changed.expires_after(microseconds(limits::crowd_look_us));
    const auto [woken] = co_await changed.async_wait(as_values);
    if (!woken) // Whoever was asked has a request by now; another may be idle.
      leaving.clear();
  }
}

/// Looking at all of them for each newcomer would be a newcomer's weapon: a few go at a time.
void server::state::make_room() {
  std::vector<guest> guests;
  for (const auto& [number, entry] : clients)
    guests.push_back({number, entry.key, entry.one->now(), entry.one->since_us()});
  const auto chosen = who_gives_way(std::move(guests), clients.size() / limits::crowd_share + 1);
  for (const auto number : chosen) {
    leaving.insert(number);
    clients.at(number).one->give_way();
  }
  if (chosen.empty())
    return;
  if (const auto left_out = crowded.may_log({}, links::steady_now_us()))
    log().warn("no place is free: connections without a request make room, first one of {}; {} "
               "more times since the last such line",
               clients.at(chosen.front()).address, *left_out);
}

void server::state::admit(tcp::socket socket, const asio::ip::address& from) {
  const auto number = ++arrived;
  auto one = std::make_shared<connection>(std::move(socket), context.config.limits, handle);
  clients.emplace(number, client{one, from.to_string(), links::admission::key_of(from)});
  context.figures.connections(1);
  // However it ends: a place that is not given back is lost for good, and a stop waits for it.
  const auto done = [self = shared_from_this(), one, number](const std::exception_ptr& thrown) {
    if (thrown) {
      log().error("a connection ended by an exception");
      one->close();
    }
    self->context.figures.connections(-1);
    asio::post(self->strand, [self, number] { self->ended(number); });
  };
  asio::co_spawn(
      one->executor(), [one] { return one->run(); }, done);
}

void server::state::ended(std::uint64_t number) {
  clients.erase(number);
  if (leaving.erase(number) > 0)
    context.figures.displaced();
  changed.cancel();
}

void server::state::begin_stop(std::function<void()> stopped) {
  if (finished)
    return stopped ? stopped() : void();
  stopped_calls.push_back(std::move(stopped));
  if (!accepting)
    return;
  accepting = false;
  context.stopping = true;
  boost::system::error_code ignored;
  acceptor.close(ignored);
  changed.cancel();
  log().info("stopping: {} connections open", clients.size());
  for (const auto& [number, entry] : clients)
    entry.one->drain();
  asio::co_spawn(strand, finish_stop(), links::essential("the end of the HTTP server"));
}

task<void> server::state::wait_for_clients(duration_us at_most) {
  const auto until = std::chrono::steady_clock::now() + microseconds(at_most);
  while (!clients.empty() && !hurried && std::chrono::steady_clock::now() < until) {
    changed.expires_at(until);
    co_await changed.async_wait(as_values);
  }
}

task<void> server::state::finish_stop() {
  const auto self = shared_from_this();
  const auto& bounds = context.config.limits;
  co_await wait_for_clients(bounds.drain);
  for (const auto& [number, entry] : clients)
    entry.one->stop_request();
  hurried = false;
  co_await wait_for_clients(bounds.stop_grace);
  for (const auto& [number, entry] : clients)
    entry.one->close();
  while (!clients.empty()) {
    changed.expires_at(steady_time::max());
    co_await changed.async_wait(as_values);
  }
  log().info("stopped");
  finished = true;
  for (const auto& call : std::exchange(stopped_calls, {}))
    if (call)
      call();
}

void server::state::hurry() {
  hurried = true;
  changed.cancel();
}

server::server(std::shared_ptr<state> shared) : state_(std::move(shared)) {}

server::~server() {
  if (!state_->accepting)
    return;
  // Without a stop() the acceptor still waits; closing it is safe since the io_context stands
  // still.
  state_->accepting = false;
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
}

result<std::unique_ptr<server>> server::start(asio::io_context& io, server_config config,
                                              scheduler_port& port, attempt_resolver resolve) {
  auto listening = listen_on(io.get_executor(), config);
  if (!listening)
    return listening.failure();
  auto shared = std::make_shared<state>(io, std::move(config), port, std::move(resolve),
                                        std::move(*listening));
  port.subscribe([hub = std::weak_ptr<event_hub>(shared->context.events)](const auto& happened) {
    if (const auto open = hub.lock())
      open->publish(happened);
  });
  asio::co_spawn(shared->strand, shared->accept_loop(),
                 links::essential("the loop that accepts HTTP connections"));
  std::unique_ptr<server> out(new server(std::move(shared)));
  log().info("listening on {}", out->url());
  return out;
}

std::uint16_t server::port() const {
  return state_->bound.port();
}

std::string server::url() const {
  const auto address = state_->bound.address();
  const auto host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return "http://" + host + ":" + std::to_string(port());
}

void server::stop(std::function<void()> stopped) {
  asio::post(state_->strand, [self = state_, call = std::move(stopped)]() mutable {
    self->begin_stop(std::move(call));
  });
}

void server::stop_now() {
  asio::post(state_->strand, [self = state_] {
    self->hurried = true;
    self->begin_stop({});
    self->hurry();
  });
}

} // namespace consort::gateway
