// SPDX-License-Identifier: Apache-2.0
#include "links/guard.hpp"

#include "links/admission.hpp"
#include "links/call_gate.hpp"
#include "links/door.hpp"
#include "links/log.hpp"
#include "links/muted.hpp"
#include "links/refusal.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>

namespace consort::links {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

std::string text_of(const tcp::endpoint& endpoint) {
  const auto host = endpoint.address().to_string();
  const auto port = ":" + std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + host + "]" + port : host + port;
}

result<tcp::acceptor> listen(const asio::any_io_executor& executor, const guard_options& options) {
  boost::system::error_code failed;
  const auto address
      = asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, failed);
  if (failed)
    return refuse("bad_address",
                  "`" + options.host + "` is not an address to listen on; use e.g. 0.0.0.0");
  if (!options.credentials && !address.is_loopback())
    return refuse("address_unprotected",
                  "others could reach " + options.host
                      + " and nothing checks who they are; make certificates with `consort cert`, "
                        "or listen on 127.0.0.1");
  const tcp::endpoint endpoint(address, options.port);
  tcp::acceptor acceptor(executor);
  acceptor.open(endpoint.protocol(), failed);
  if (!failed)
    acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed)
    acceptor.bind(endpoint, failed);
  if (!failed)
    acceptor.listen(options.limits.accept_queue, failed);
  if (failed == asio::error::address_in_use)
    return refuse("port_in_use", text_of(endpoint) + " is taken by another process");
  if (failed)
    return refuse("cannot_listen",
                  "cannot listen on " + text_of(endpoint) + ": " + failed.message());
  return acceptor;
}

} // namespace

/// What outlives the handle while the io_context still works on it. Members below the gate belong
/// to the strand.
struct guard::shell : std::enable_shared_from_this<guard::shell> {
  using connection_id = admission::connection_id;

  shell(asio::io_context& on, guard_options wanted, peer_handler handler)
      : io(on),
        strand(asio::make_strand(on)),
        acceptor(strand),
        retry(strand),
        rules(std::make_shared<door_rules>(on.get_executor(), wanted.credentials, wanted.cluster,
                                           wanted.join_token, wanted.life, wanted.limits)),
        on_peer(std::move(handler)),
        book(wanted.limits),
        muted(strand, wanted.limits.mute),
        quiet(wanted.limits.log_every) {}

  void accept();
  void accepted(boost::system::error_code failed, tcp::socket socket);
  void admit(tcp::socket socket, const tcp::endpoint& remote);
  void retry_later(boost::system::error_code failed);
  void displace(connection_id id);
  void reported(connection_id id, const std::string& address, door_outcome outcome);
  void hand_over(connection_id id, const std::string& host, door_outcome outcome);
  void refused(const std::string& reason, const std::string& address, const std::string& message);
  void close_all();
  void drop(const std::vector<std::string>& serials);
  void count_present();

  asio::io_context& io;
  asio::strand<asio::io_context::executor_type> strand;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  const std::shared_ptr<const door_rules> rules;
  tcp::endpoint local;
  call_gate gate;
  peer_handler on_peer;

  tcp::endpoint remote; ///< Of whoever is accepted next.
  admission book;
  muted_addresses muted;
  quiet_log quiet;
  connection_id last_id = 0;
  std::map<connection_id, std::shared_ptr<door>> doors;
  std::map<connection_id, std::shared_ptr<link_core>> links;

  mutable std::mutex mutex; ///< Of the counters.
  guard_counters counters;
};

void guard::shell::accept() {
  acceptor.async_accept(
      asio::make_strand(io), remote,
      asio::bind_executor(strand, [self = shared_from_this()](auto failed, tcp::socket socket) {
        self->accepted(failed, std::move(socket));
      }));
}

void guard::shell::accepted(boost::system::error_code failed, tcp::socket socket) {
  if (gate.is_shut())
    return;
  if (failed)
    return retry_later(failed);
  const auto from = remote;
  accept();
  {
    const std::lock_guard lock(mutex);
    ++counters.accepted;
  }
  admit(std::move(socket), from);
  count_present();
}

void guard::shell::admit(tcp::socket socket, const tcp::endpoint& from) {
  const auto id = ++last_id;
  const auto verdict = book.admit(id, from.address(), steady_now_us());
  for (const auto other : verdict.displaced)
    displace(other);
  if (verdict.mute)
    muted.mute(from.address());
  if (!verdict.refused.empty())
    return refused(std::string(verdict.refused), from.address().to_string(), "over a limit");
  const auto entry = std::make_shared<door>(std::move(socket), text_of(from),
                                            admission::key_of(from.address()), rules);
  doors.emplace(id, entry);
  entry->run(
      [self = shared_from_this(), id, host = from.address().to_string()](door_outcome outcome) {
        asio::post(self->strand, [self, id, host, outcome = std::move(outcome)]() mutable {
          self->reported(id, host, std::move(outcome));
        });
      });
}

/// Most likely no descriptors are left; then those that have been silent longest give theirs, a
/// quarter of them, so that a peer behind many silent ones is not kept waiting.
void guard::shell::retry_later(boost::system::error_code failed) {
  refused("accept_failed", "accept", failed.message());
  for (auto spare = book.unfinished() / 4 + 1; spare > 0; --spare)
    if (const auto oldest = book.displace_oldest(steady_now_us()))
      displace(*oldest);
  retry.expires_after(std::chrono::microseconds(limits::accept_backoff_us));
  retry.async_wait([self = shared_from_this()](boost::system::error_code stopped) {
    if (!stopped && !self->gate.is_shut())
      self->accept();
  });
}

/// Its later report finds no door and is not counted again.
void guard::shell::displace(connection_id id) {
  const auto found = doors.find(id);
  if (found == doors.end())
    return;
  found->second->cut();
  doors.erase(found);
  refused("displaced", "many addresses", "unfinished connections make room for newer ones");
}

void guard::shell::reported(connection_id id, const std::string& address, door_outcome outcome) {
  const bool known = doors.erase(id) > 0;
  if (outcome.core && known && book.finish(id) && !gate.is_shut())
    return hand_over(id, address, std::move(outcome));
  book.gone(id, steady_now_us(), outcome.failures);
  if (outcome.core)
    outcome.core->cut({recovery::retry_later, "stopping", "the guard takes no more links"});
  else if (known)
    refused(outcome.refusal.code, address, outcome.refusal.message);
  count_present();
}

void guard::shell::hand_over(connection_id id, const std::string& host, door_outcome outcome) {
  auto& core = outcome.core;
  core->hooks.on_ended = [weak = weak_from_this(), id, host, who = core->peer](const error& why) {
    const auto self = weak.lock();
    if (!self)
      return;
    log().info("{} {} is no longer linked: {}", name_of(who.role), who.name, why.message);
    const bool offended = is_offence(why.code);
    if (offended)
      self->rules->known->offended(who, steady_now_us());
    asio::post(self->strand, [self, id, host, offended, why] {
      if (offended)
        self->refused(why.code, host, why.message);
      self->links.erase(id);
      self->book.gone(id, steady_now_us());
      self->count_present();
    });
  };
  if (const auto& credentials = rules->credentials)
    core->hooks.revoked
        = [credentials, serial = core->peer.serial] { return credentials->revoked(serial); };
  links.emplace(id, core);
  {
    const std::lock_guard lock(mutex);
    ++counters.greeted;
  }
  count_present();
  log().info("{} {} is linked from {}", name_of(core->peer.role), core->peer.name, core->address);
  const auto handle = std::make_shared<link>(core);
  gate.pass([&] { on_peer(handle, std::move(outcome.hello)); });
}

void guard::shell::refused(const std::string& reason, const std::string& address,
                           const std::string& message) {
  {
    const std::lock_guard lock(mutex);
    ++counters.refused[reason];
  }
  if (const auto left_out = quiet.may_log(address, steady_now_us()))
    log().warn("no link for {}: {} ({}); {} more since the last such line", address, message,
               reason, *left_out);
}

void guard::shell::count_present() {
  const std::lock_guard lock(mutex);
  counters.unfinished = book.unfinished();
  counters.links = links.size();
}

void guard::shell::close_all() {
  boost::system::error_code ignored;
  muted.stop();
  acceptor.close(ignored);
  retry.cancel();
  for (const auto& [id, entry] : doors)
    entry->cut();
  doors.clear();
  for (const auto& [id, core] : links)
    core->close({recovery::retry_later, "stopping", "this process stops"});
}

void guard::shell::drop(const std::vector<std::string>& serials) {
  for (const auto& [id, core] : links)
    if (std::find(serials.begin(), serials.end(), core->peer.serial) != serials.end())
      core->cut(
          {recovery::refuse, "certificate_revoked",
           "the certificate " + core->peer.serial + " of `" + core->peer.name + "` is revoked"});
}

// --- the handle ---

result<std::unique_ptr<guard>> guard::start(asio::io_context& io, guard_options options,
                                            peer_handler on_peer) {
  const auto made = std::make_shared<shell>(io, options, std::move(on_peer));
  auto acceptor = listen(made->strand, options);
  if (!acceptor)
    return acceptor.failure();
  boost::system::error_code failed;
  made->local = acceptor->local_endpoint(failed);
  made->acceptor = std::move(*acceptor);
  made->muted.watch(made->acceptor.native_handle());
  asio::post(made->strand, [made] { made->accept(); });
  return std::unique_ptr<guard>(new guard(made));
}

guard::guard(std::shared_ptr<shell> started) : shell_(std::move(started)) {}

guard::~guard() {
  stop();
}

void guard::stop() {
  if (shell_->gate.is_shut())
    return;
  shell_->gate.shut();
  asio::post(shell_->strand, [shell = shell_] { shell->close_all(); });
}

void guard::drop(const std::vector<std::string>& serials) {
  asio::post(shell_->strand, [shell = shell_, serials] { shell->drop(serials); });
}

guard_counters guard::counters() const {
  const std::lock_guard lock(shell_->mutex);
  auto seen = shell_->counters;
  seen.muted = shell_->muted.size();
  return seen;
}

std::vector<held_peer> guard::held_off() const {
  return shell_->rules->known->held_now(steady_now_us());
}

std::string guard::address() const {
  return text_of(shell_->local);
}

std::uint16_t guard::port() const {
  return shell_->local.port();
}

} // namespace consort::links
