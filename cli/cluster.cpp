// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster.hpp"

#include "actors/config.hpp"
#include "actors/gateway_link.hpp"
#include "actors/node_actors.hpp"
#include "actors/scheduler_actor.hpp"
#include "actors/spawn.hpp"
#include "gateway/server.hpp"
#include "node/agent.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

namespace consort::cli {

namespace {

constexpr std::size_t io_threads = 2;
constexpr std::size_t ticket_key_bytes = 32;
constexpr auto stop_timeout = std::chrono::seconds(10);
/// Streams may finish for this long after a signal; the rest of the contract's 5 s is for ending
/// everything else.
constexpr duration_us drain_us = 3'500'000;

time_us steady_now() {
  static const auto began = std::chrono::steady_clock::now();
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now()
                                                               - began)
      .count();
}

result<std::string> random_key() {
  std::string key(ticket_key_bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size())) != 1)
    return error{recovery::retry_later, "no_randomness",
                 "the system's random generator failed; cannot make a ticket key"};
  return key;
}

/// `<prefix>/lib/consort`, beside `<prefix>/{bin,cli}/consort`.
std::string llama_library() {
  const auto prefix = std::filesystem::path(executable_path()).parent_path().parent_path();
  return (prefix / "lib" / "consort" / "libconsort-llama.so").string();
}

result<model_spec> describe(const model_config& wanted, node::digest_cache& digests) {
  auto variant = node::describe_gguf(wanted.source, digests);
  if (!variant)
    return error{recovery::refuse, variant.failure().code,
                 "model `" + wanted.name + "`: " + variant.failure().message};
  if (wanted.context_tokens > 0)
    variant->context_tokens = std::min(variant->context_tokens, wanted.context_tokens);
  model_spec spec;
  spec.name = model_name{wanted.name};
  for (const auto& alias : wanted.aliases)
    spec.aliases.emplace_back(alias);
  spec.variants.push_back(std::move(*variant));
  spec.replicas_min = wanted.replicas_min;
  spec.replicas_max = wanted.replicas_max;
  spec.idle_ttl_us = wanted.idle_ttl_us;
  spec.devices_per_instance = wanted.devices_per_instance;
  return spec;
}

result<std::vector<model_spec>> describe_all(const std::vector<model_config>& wanted,
                                             node::digest_cache& digests) {
  std::vector<model_spec> specs;
  for (const auto& one : wanted) {
    auto spec = describe(one, digests);
    if (!spec)
      return spec.failure();
    specs.push_back(std::move(*spec));
  }
  return specs;
}

} // namespace

/// Members are in order of construction; each uses only those above it.
struct local_cluster::parts {
  explicit parts(cluster_config wanted) : config(std::move(wanted)), guard(io.get_executor()) {
    for (std::size_t i = 0; i < io_threads; ++i)
      threads.emplace_back([this] { io.run(); });
  }
  ~parts();

  result<done> start_node();
  result<done> start_actors();
  result<done> start_gateway();
  void stop_gateway();

  cluster_config config;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard;
  std::vector<std::thread> threads;
  std::vector<model_spec> models;
  std::unique_ptr<node::agent> agent;
  actors::system_config actor_config;
  std::unique_ptr<caf::actor_system> actor_system;
  caf::actor scheduler;
  caf::actor door;
  std::unique_ptr<actors::gateway_link> link;
  std::unique_ptr<gateway::server> server;
};

local_cluster::parts::~parts() {
  stop_gateway();
  link.reset();
  if (actor_system && !actors::shut_down(*actor_system, {door, scheduler}))
    spdlog::warn("some actors did not end in time");
  door = nullptr;
  scheduler = nullptr;
  actor_system.reset();
  agent.reset();
  guard.reset();
  io.stop();
  for (auto& thread : threads)
    thread.join();
}

result<done> local_cluster::parts::start_node() {
  node::agent_options options;
  options.name = node_id{"local"};
  options.data_path = config.data_dir;
  options.plugin_dirs = config.plugin_dirs;
  options.executable = executable_path();
  options.llama_library = llama_library();
  options.clock = steady_now;
  auto started = node::agent::start(io, std::move(options));
  if (!started)
    return started.failure();
  agent = std::move(*started);
  auto described = describe_all(config.models, agent->digests());
  if (!described)
    return described.failure();
  models = std::move(*described);
  return done{};
}

result<done> local_cluster::parts::start_actors() {
  const auto key = random_key();
  if (!key)
    return key.failure();
  actor_system = std::make_unique<caf::actor_system>(actor_config);
  actors::scheduler_options options;
  options.core = core_settings(config, actors::random_incarnation().value);
  options.ticket_key = *key;
  options.clock = steady_now;
  options.models = models;
  scheduler = actors::spawn_state<actors::scheduler_state>(*actor_system, std::move(options));
  actors::node_options node;
  node.agent = agent.get();
  node.cluster = config.cluster;
  node.life = actors::random_incarnation();
  node.scheduler = scheduler;
  door = actors::spawn_state<actors::door_state>(*actor_system, std::move(node));
  actors::gateway_options gateway;
  gateway.cluster = config.cluster;
  gateway.id = gateway_id{actors::random_incarnation().value};
  gateway.clock = steady_now;
  link = std::make_unique<actors::gateway_link>(*actor_system, scheduler, std::move(gateway));
  return done{};
}

result<done> local_cluster::parts::start_gateway() {
  gateway::server_config options;
  options.host = config.http_host;
  options.port = config.http_port;
  options.queue_timeout_us = config.queue_timeout_us;
  options.limits.drain = drain_us;
  auto started = gateway::server::start(io, options, *link,
                                        [this](const ticket&) { return &agent->attempts(); });
  if (!started)
    return started.failure();
  server = std::move(*started);
  return done{};
}

void local_cluster::parts::stop_gateway() {
  if (!server)
    return;
  auto stopped = std::make_shared<std::promise<void>>();
  auto waiting = stopped->get_future();
  server->stop([stopped] { stopped->set_value(); });
  if (waiting.wait_for(stop_timeout) != std::future_status::ready) {
    spdlog::warn("the gateway did not stop in time");
    guard.reset();
    io.stop();
    for (auto& thread : threads)
      thread.join();
    threads.clear();
  }
  server.reset();
}

local_cluster::local_cluster(std::unique_ptr<parts> started) : parts_(std::move(started)) {}

local_cluster::~local_cluster() = default;

result<std::unique_ptr<local_cluster>> local_cluster::start(const cluster_config& config) {
  auto started = std::make_unique<parts>(config);
  for (const auto step : {&parts::start_node, &parts::start_actors, &parts::start_gateway}) {
    const auto outcome = ((*started).*step)();
    if (!outcome)
      return outcome.failure();
  }
  return std::unique_ptr<local_cluster>(new local_cluster(std::move(started)));
}

std::string local_cluster::url() const {
  return parts_->server->url();
}

void local_cluster::stop() {
  parts_->stop_gateway();
}

void local_cluster::stop_now() {
  if (parts_->server)
    parts_->server->stop_now();
}

const std::vector<device_spec>& local_cluster::devices() const {
  return parts_->agent->plugins().devices();
}

const std::vector<model_spec>& local_cluster::models() const {
  return parts_->models;
}

} // namespace consort::cli
