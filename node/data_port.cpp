// SPDX-License-Identifier: Apache-2.0
#include "node/data_port.hpp"

#include "links/address.hpp"
#include "links/admission.hpp"
#include "links/essential.hpp"
#include "links/muted.hpp"
#include "node/data_port_connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <limits>

namespace consort::node {

namespace asio = boost::asio;
using asio::ip::tcp;
using links::as_values;
using links::task;

namespace {

error cannot(std::string code, std::string message) {
  return {recovery::refuse, std::move(code), std::move(message)};
}

result<tcp::endpoint> endpoint_of(const data_port_options& options) {
  boost::system::error_code failed;
  const auto address
      = asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, failed);
  if (failed)
    return cannot("bad_address", "`" + options.host
                                     + "` is not an address to listen on; use e.g. 127.0.0.1, ::1 "
                                       "or 0.0.0.0");
  if (!address.is_loopback() && !options.credentials)
    return cannot("address_unprotected",
                  "others could reach the data port on " + options.host
                      + " and nothing checks who they are; make certificates with `consort cert` "
                        "and pass --cert, or listen on 127.0.0.1");
  if (address.is_unspecified() && options.advertise.empty())
    return cannot("advertise_missing", "the data port listens on every address; name the one that "
                                       "others dial with --advertise");
  return tcp::endpoint(address, options.port);
}

result<tcp::acceptor> listen_on(const tcp::endpoint& endpoint, asio::any_io_executor strand) {
  boost::system::error_code failed;
  tcp::acceptor acceptor(std::move(strand));
  acceptor.open(endpoint.protocol(), failed);
  if (!failed)
    acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed)
    acceptor.bind(endpoint, failed);
  if (!failed)
    acceptor.listen(limits::data_accept_queue_max, failed);
  if (!failed)
    return acceptor;
  const auto where = links::format_address({endpoint.address().to_string(), endpoint.port()});
  if (failed == asio::error::address_in_use)
    return cannot("port_in_use", "the data port's address " + where
                                     + " is taken by another process; choose another with "
                                       "--data-listen");
  return cannot("cannot_listen", "cannot listen on " + where + ": " + failed.message());
}

/// The book judges failures and what is unfinished; whether a connection may be cut depends on what
/// it does, which the port knows.
links::limits::limit_set book_limits(const limits::data_port_limits& own) {
  auto out = own.peers;
  out.connections = out.address_connections = std::numeric_limits<std::size_t>::max();
  out.unfinished = own.connections;
  out.address_unfinished = own.address_unfinished;
  return out;
}

/// What others dial: as told, with the port that was bound where none was told.
result<std::string> advertised(const data_port_options& options, const tcp::endpoint& bound) {
  if (options.advertise.empty())
    return links::format_address({bound.address().to_string(), bound.port()});
  if (const auto whole = links::parse_address(options.advertise))
    return links::format_address(*whole);
  auto address = links::parse_address(options.advertise + ":" + std::to_string(bound.port()));
  if (!address)
    return address.failure();
  return links::format_address(*address);
}

} // namespace

/// Accepts and keeps the list of connections. Members below `strand` are touched on it only.
struct data_port::shell : std::enable_shared_from_this<data_port::shell> {
  struct connection {
    std::shared_ptr<data_port_connection> one;
    std::string key; ///< What its address counts as.
  };

  shell(std::shared_ptr<data_port_shared> with, tcp::acceptor listening, std::string named)
      : shared(std::move(with)),
        address(std::move(named)),
        bound(listening.local_endpoint()),
        strand(listening.get_executor()),
        acceptor(std::move(listening)),
        pause(strand),
        book(book_limits(shared->options.limits)),
        muted(strand, shared->options.limits.peers.mute) {
    muted.watch(acceptor.native_handle());
  }

  task<void> accept_loop();
  void admit(tcp::socket socket, const asio::ip::address& from);
  void begin(std::uint64_t number, tcp::socket socket, const asio::ip::address& from,
             std::string key);
  bool make_room(const std::string& key);
  void displace(std::uint64_t number);
  void close();

  const std::shared_ptr<data_port_shared> shared;
  const std::string address;
  const tcp::endpoint bound;
  const asio::any_io_executor strand;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  links::admission book;
  links::muted_addresses muted;
  std::map<std::uint64_t, connection> connections; ///< In order of arrival.
  std::uint64_t arrived = 0;
  bool accepting = true;
};

task<void> data_port::shell::accept_loop() {
  tcp::endpoint peer; // As accept() has it: the peer may be gone before anybody asks its socket.
  while (accepting) {
    auto [failed, socket] = co_await acceptor.async_accept(
        asio::make_strand(shared->io.get_executor()), peer, as_values);
    if (!accepting)
      break;
    if (!failed) {
      admit(tcp::socket(std::move(socket)), peer.address());
      continue;
    }
    shared->refused("accept", "accept_failed", failed.message());
    pause.expires_after(std::chrono::microseconds(limits::data_accept_backoff_us));
    co_await pause.async_wait(as_values);
  }
}

void data_port::shell::admit(tcp::socket socket, const asio::ip::address& from) {
  ++shared->accepted;
  auto key = links::admission::key_of(from);
  const auto& bounds = shared->options.limits;
  if (book.connections_of(key) >= bounds.address_connections)
    (void)make_room(key); // Who has so many at work has tickets for them.
  if (connections.size() >= bounds.connections && !make_room({}))
    return shared->refused(from.to_string(), "too_many_connections", "over a limit");
  const auto verdict = book.admit(++arrived, from, links::steady_now_us());
  for (const auto other : verdict.displaced)
    displace(other);
  if (verdict.mute)
    muted.mute(from);
  if (!verdict.refused.empty())
    return shared->refused(from.to_string(), std::string(verdict.refused), "over a limit");
  begin(arrived, std::move(socket), from, std::move(key));
}

void data_port::shell::begin(std::uint64_t number, tcp::socket socket,
                             const asio::ip::address& from, std::string key) {
  const auto known = [weak = weak_from_this(), number] {
    if (const auto self = weak.lock())
      asio::post(self->strand, [self, number] { (void)self->book.finish(number); });
  };
  auto one = std::make_shared<data_port_connection>(std::move(socket), from, shared, known);
  connections.emplace(number, connection{one, std::move(key)});
  shared->connections = connections.size();
  const auto done = [self = shared_from_this(), number, one](const std::exception_ptr&) {
    asio::post(self->strand, [self, number, failures = one->failures()] {
      self->book.gone(number, links::steady_now_us(), failures);
      self->connections.erase(number);
      self->shared->connections = self->connections.size();
    });
  };
  asio::co_spawn(
      one->executor(), [one] { return one->run(); }, done);
}

/// Cuts the oldest connection that has not finished its handshake, else the oldest idle one, else
/// the oldest that takes its time to ask: a peer with something to say always gets in. With a key,
/// one of that address. Returns: whether there was one.
bool data_port::shell::make_room(const std::string& key) {
  using state = data_port_connection::state;
  for (const auto wanted : {state::unfinished, state::idle, state::reading}) {
    const auto found = std::find_if(connections.begin(), connections.end(), [&](const auto& entry) {
      return entry.second.one->now() == wanted && (key.empty() || entry.second.key == key);
    });
    if (found == connections.end())
      continue;
    book.gone(found->first, links::steady_now_us());
    displace(found->first);
    return true;
  }
  return false;
}

/// Requires: it is off the book.
void data_port::shell::displace(std::uint64_t number) {
  const auto found = connections.find(number);
  if (found == connections.end())
    return;
  found->second.one->cut();
  connections.erase(found);
  shared->refused("many addresses", "displaced", "older connections make room for newer ones");
}

void data_port::shell::close() {
  accepting = false;
  boost::system::error_code ignored;
  muted.stop();
  acceptor.close(ignored);
  pause.cancel();
  for (const auto& [number, entry] : connections)
    entry.one->cut();
}

data_port::data_port(std::shared_ptr<shell> started) : shell_(std::move(started)) {}

data_port::~data_port() {
  stop();
}

result<std::unique_ptr<data_port>> data_port::start(asio::io_context& io, data_port_options options,
                                                    attempt_service& attempts,
                                                    artifact_store& artifacts) {
  const auto endpoint = endpoint_of(options);
  if (!endpoint)
    return endpoint.failure();
  auto acceptor = listen_on(*endpoint, asio::make_strand(io));
  if (!acceptor)
    return acceptor.failure();
  auto address = advertised(options, acceptor->local_endpoint());
  if (!address)
    return address.failure();
  auto shared = std::make_shared<data_port_shared>(io, std::move(options), attempts, artifacts);
  auto started
      = std::make_shared<shell>(std::move(shared), *std::move(acceptor), *std::move(address));
  asio::co_spawn(
      started->strand, [started] { return started->accept_loop(); },
      links::essential("the loop that accepts connections to the data port"));
  return std::unique_ptr<data_port>(new data_port(std::move(started)));
}

void data_port::stop() {
  shell_->shared->stop();
  asio::post(shell_->strand, [shell = shell_] { shell->close(); });
}

void data_port::drop(const std::vector<std::string>& serials) {
  const auto named = std::make_shared<const std::vector<std::string>>(serials);
  asio::post(shell_->strand, [shell = shell_, named] {
    for (const auto& [number, entry] : shell->connections)
      entry.one->drop(named);
  });
}

data_port_counters data_port::counters() const {
  return shell_->shared->counted();
}

std::string data_port::address() const {
  return shell_->address;
}

std::uint16_t data_port::port() const {
  return shell_->bound.port();
}

} // namespace consort::node
