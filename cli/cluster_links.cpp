// SPDX-License-Identifier: Apache-2.0
// The scheduler and what leads to it: its actor, the guard before it, or the connector that dials
// it from elsewhere.
#include "cli/cluster_parts.hpp"

#include "actors/caf_compat.hpp"
#include "actors/link_actors.hpp"
#include "actors/node_actors.hpp"
#include "actors/scheduler_actor.hpp"
#include "actors/spawn.hpp"
#include "links/certificates.hpp"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <tuple>

namespace consort::cli {

namespace {

constexpr std::size_t ticket_key_bytes = 32;

result<std::string> random_key() {
  std::string key(ticket_key_bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size())) != 1)
    return error{recovery::retry_later, "no_randomness",
                 "the system's random generator failed; cannot make a ticket key"};
  return key;
}

/// A scheduler that takes the place of another counts on from beyond it.
std::uint64_t wall_clock_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

messages::frame to_link(const actors::frame& outgoing) {
  return {static_cast<messages::frame_kind>(outgoing.kind), outgoing.bytes};
}

actors::frame from_link(messages::frame incoming) {
  return {static_cast<std::uint16_t>(incoming.kind), std::move(incoming.payload), nullptr};
}

std::shared_ptr<const actors::link_ends> ends_of(const std::shared_ptr<links::link>& link) {
  return std::make_shared<const actors::link_ends>(
      actors::link_ends{[link](const actors::frame& outgoing) { link->send(to_link(outgoing)); },
                        [link] {
                          link->close({recovery::retry_later, "link_done", "its actor has ended"});
                        }});
}

} // namespace

result<done> cluster_process::parts::start_actors() {
  actor_system = std::make_unique<caf::actor_system>(actor_config);
  if (config.roles.scheduler) {
    if (const auto started = start_scheduler(); !started)
      return started;
  } else {
    scheduler = actors::spawn_state<actors::uplink_state>(*actor_system);
  }
  if (config.roles.node)
    start_door();
  if (config.roles.gateway)
    start_gateway_link();
  return done{};
}

result<done> cluster_process::parts::start_scheduler() {
  const auto key = random_key();
  if (!key)
    return key.failure();
  auto store = state_store::open(config.cluster.data_dir);
  if (!store)
    return store.failure();
  kept_state = std::move(*store);
  auto holds = kept_state->load_holds();
  if (!holds)
    return holds.failure();
  const auto spent = kept_state->load_spending();
  if (!spent)
    return spent.failure();
  if (const auto restored = restore_declared(); !restored)
    return restored;
  actors::scheduler_options options;
  options.core = core_settings(config.cluster, actors::random_incarnation().value);
  options.core.holds = std::move(*holds);
  options.keep_holds
      = [this](const core::hold_map& stopped) { return kept_state->save_holds(stopped); };
  options.core.remote_spent_micros = spent->micros;
  options.core.remote_spent_age_us = spent->age_us;
  options.keep_spending
      = [this](std::uint64_t micros) { return kept_state->save_spending(micros); };
  options.keep_models = [this](const std::vector<model_spec>& all) { return keep_declared(all); };
  options.core.numbers_from = wall_clock_us();
  options.life = life;
  options.join_token = config.links.token;
  options.ticket_key = *key;
  options.clock = [this] { return clock.now(); };
  options.models = models;
  options.observe_decision = [into = decisions](double seconds) { into->observe(seconds); };
  scheduler = actors::spawn_state<actors::scheduler_state>(*actor_system, std::move(options));
  return done{};
}

void cluster_process::parts::start_gateway_link() {
  data_ports = std::make_unique<gateway::data_ports>(io, config.credentials);
  actors::gateway_options options;
  options.cluster = config.cluster.cluster;
  options.join_token = config.links.token;
  options.name = config.links.name;
  options.id = gateway_id{actors::random_incarnation().value};
  options.clock = [this] { return clock.steady(); };
  options.linked = config.joins();
  link = std::make_unique<actors::gateway_link>(*actor_system, scheduler, std::move(options));
  if (config.joins())
    actors::post_from_outside(scheduler, actors::uplink_owner{link->actor()});
}

result<done> cluster_process::parts::start_links() {
  const auto started = config.roles.listens ? start_guard()
                       : config.joins()     ? start_connector()
                                            : result<done>(done{});
  if (!started || !config.credentials)
    return started;
  revocations = std::make_unique<file_watch>(
      io, std::filesystem::path(config.links.cert_dir) / links::revoked_file,
      [this] { apply_revocations(); });
  apply_revocations(); // What came between loading and watching.
  return done{};
}

void cluster_process::parts::apply_revocations() {
  const auto serials = links::read_revoked(config.links.cert_dir);
  if (!serials)
    return spdlog::error("kept the old list of revoked certificates: {}",
                         serials.failure().message);
  config.credentials->revoke(*serials);
  if (guard)
    guard->drop(*serials);
  if (data_port)
    data_port->drop(*serials);
}

result<done> cluster_process::parts::start_guard() {
  links::guard_options options;
  const auto address = parse_listen(config.links.listen);
  if (!address)
    return error{recovery::refuse, "usage",
                 "--listen wants HOST:PORT, not `" + config.links.listen + "`"};
  std::tie(options.host, options.port) = *address;
  options.credentials = config.credentials;
  options.cluster = config.cluster.cluster;
  options.join_token = config.links.token;
  options.life = life;
  auto started = links::guard::start(
      io, std::move(options),
      [this](const std::shared_ptr<links::link>& accepted, messages::frame hello) {
        link_accepted(accepted, std::move(hello));
      });
  if (!started)
    return started.failure();
  guard = std::move(*started);
  return done{};
}

/// A greeted process: an actor stands for it, and its hello is the first thing that actor says.
void cluster_process::parts::link_accepted(const std::shared_ptr<links::link>& accepted,
                                           messages::frame hello) {
  const auto peer
      = actors::spawn_state_from_outside<actors::peer_state>(*actor_system, ends_of(accepted));
  actors::post_as(peer, scheduler, from_link(std::move(hello)));
  accepted->start({[peer, this, accepted](messages::frame incoming) {
                     auto received = from_link(std::move(incoming));
                     received.hold = accepted->hold();
                     actors::post_as(peer, scheduler, std::move(received));
                   },
                   [peer, this](const error& why) {
                     if (why.code == "certificate_revoked")
                       actors::post_as(peer, scheduler, actors::peer_revoked{});
                     actors::stop(peer);
                   }});
}

result<done> cluster_process::parts::start_connector() {
  links::connector_options options;
  const auto address = parse_listen(config.links.join);
  if (!address)
    return error{recovery::refuse, "usage",
                 "--join wants HOST:PORT of a scheduler, not `" + config.links.join + "`"};
  std::tie(options.host, options.port) = *address;
  options.credentials = config.credentials;
  options.seed = actors::random_incarnation().value;
  auto started = links::connector::start(
      io, std::move(options),
      [this](const std::shared_ptr<links::link>& established) { link_up(established); },
      [](const error& why) { spdlog::debug("no link to the scheduler: {}", why.message); });
  if (!started)
    return started.failure();
  connector = std::move(*started);
  return done{};
}

void cluster_process::parts::link_up(const std::shared_ptr<links::link>& established) {
  const auto number = ++links_made;
  const auto uplink = scheduler;
  actors::post_from_outside(uplink, actors::link_opened{number, ends_of(established)});
  established->start({[uplink, number](messages::frame incoming) {
                        actors::post_from_outside(
                            uplink, actors::link_frame{number, from_link(std::move(incoming))});
                      },
                      [uplink, number](const error&) {
                        actors::post_from_outside(uplink, actors::link_closed{number});
                      }});
}

result<done> cluster_process::parts::start_data_port() {
  node::data_port_options options;
  const auto address = parse_listen(config.links.data_listen);
  if (!address)
    return error{recovery::refuse, "usage",
                 "--data-listen wants HOST:PORT, not `" + config.links.data_listen + "`"};
  std::tie(options.host, options.port) = *address;
  options.advertise = config.links.advertise;
  options.credentials = config.credentials;
  auto started = node::data_port::start(io, std::move(options), agent->attempts(), agent->store());
  if (!started)
    return started.failure();
  data_port = std::move(*started);
  fetcher = std::make_unique<node::artifact_fetcher>(io, agent->store(), config.credentials);
  return done{};
}

void cluster_process::reload() {
  if (parts_->door)
    actors::post_from_outside(parts_->door, actors::reload_wanted{});
  const auto& credentials = parts_->config.credentials;
  if (!credentials)
    return;
  if (const auto reloaded = credentials->reload(); !reloaded)
    return spdlog::error("kept the old certificates: {}", reloaded.failure().message);
  parts_->apply_revocations();
  spdlog::info("read the certificates again");
}

std::string cluster_process::link_address() const {
  return parts_->guard ? parts_->guard->address() : std::string();
}

std::string cluster_process::data_address() const {
  return parts_->data_port ? parts_->data_port->address() : std::string();
}

std::vector<gateway::process_figure> cluster_process::parts::link_figures() const {
  if (!guard)
    return {};
  const auto seen = guard->counters();
  std::vector<gateway::process_figure> out{
      {"links_open", "Links of nodes and gateways.", false, {}, static_cast<double>(seen.links)},
      {"links_unfinished",
       "Connections that said no hello yet.",
       false,
       {},
       static_cast<double>(seen.unfinished)},
      {"links_held_off",
       "Names that are held off for what they did.",
       false,
       {},
       static_cast<double>(guard->held_off().size())},
      {"links_muted",
       "Addresses that are not heard for a while.",
       false,
       {},
       static_cast<double>(seen.muted)},
      {"links_accepted_total",
       "Connections to the link port.",
       true,
       {},
       static_cast<double>(seen.accepted)},
      {"links_greeted_total",
       "Links after a hello in order.",
       true,
       {},
       static_cast<double>(seen.greeted)}};
  for (const auto& [reason, count] : seen.refused)
    out.push_back({"links_refused_total",
                   "Connections and hellos refused.",
                   true,
                   {{"reason", reason}},
                   static_cast<double>(count)});
  return out;
}

} // namespace consort::cli
