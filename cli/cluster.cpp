// SPDX-License-Identifier: Apache-2.0
// Order: what a process starts with and how it ends. The parts are in cluster_*.cpp.
#include "cli/cluster_parts.hpp"

#include "actors/node_actors.hpp"
#include "cli/limits.hpp"

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <iostream>

namespace consort::cli {

namespace {

constexpr std::size_t io_threads_max = 16;
/// Past the drain and its grace; then the gateway is left behind.
constexpr auto gateway_stop_timeout = std::chrono::milliseconds(4'600);
constexpr int settle_rounds = 8;
constexpr auto settle_timeout = std::chrono::milliseconds(50);

/// One for each core that this process may run on: more would only take turns. But a node hashes
/// files on them, and its links must not wait for that.
int io_threads(const process_roles& roles) {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  const bool known = sched_getaffinity(0, sizeof usable, &usable) == 0;
  const auto cores = known ? static_cast<std::size_t>(CPU_COUNT(&usable)) : 1;
  return static_cast<int>(std::clamp<std::size_t>(cores, roles.node ? 2 : 1, io_threads_max));
}

} // namespace

cluster_process::parts::parts(process_config wanted)
    : config(std::move(wanted)),
      life(actors::random_incarnation()),
      io(io_threads(config.roles)),
      guard_work(io.get_executor()) {
  for (int i = 0; i < io_threads(config.roles); ++i)
    threads.emplace_back([this] { io.run(); });
}

cluster_process::parts::~parts() {
  revocations.reset(); // Before what it cuts links of.
  stop_gateway();
  if (guard)
    guard->stop();
  if (connector)
    connector->stop();
  if (data_port)
    data_port->stop();
  if (fetcher)
    fetcher->stop();
  link.reset();
  if (actor_system && !actors::shut_down(*actor_system, {door, scheduler})) {
    // A vendor call hangs in an actor, and the actor system would wait for it for ever.
    spdlog::error("some actors did not end in time; leaving without them");
    spdlog::shutdown();
    std::cout.flush();
    std::_Exit(EXIT_FAILURE);
  }
  door = nullptr;
  scheduler = nullptr;
  actor_system.reset();
  fetcher.reset();
  data_port.reset();
  data_ports.reset();
  connector.reset();
  guard.reset();
  settle();
  guard_work.reset();
  io.stop();
  for (auto& thread : threads)
    thread.join();
}

/// Lets what the parts posted on their way out run: a close, the read that it ends, and what was
/// held by that read.
void cluster_process::parts::settle() {
  for (int round = 0; round < settle_rounds && !threads.empty(); ++round) {
    auto passed = std::make_shared<std::promise<void>>();
    auto waiting = passed->get_future();
    boost::asio::post(io, [passed] { passed->set_value(); });
    waiting.wait_for(settle_timeout);
  }
}

result<done> cluster_process::parts::start_gateway() {
  if (!config.roles.gateway)
    return done{};
  gateway::server_config options;
  options.host = config.cluster.http_host;
  options.port = config.cluster.http_port;
  options.insecure = config.cluster.http_insecure;
  options.sites = config.cluster.http_sites;
  options.queue_timeout_us = config.cluster.queue_timeout_us;
  options.limits.drain
      = std::chrono::duration_cast<std::chrono::microseconds>(limits::stop_drain).count();
  if (config.roles.scheduler) {
    options.decisions = decisions;
    options.describe = [this](model_spec declared) { return describe(std::move(declared)); };
  }
  options.figures = [this] { return link_figures(); };
  options.held_off = [this] { return guard ? guard->held_off() : std::vector<links::held_peer>{}; };
  auto started = gateway::server::start(io, options, *link, [this](const ticket& permission) {
    return agent && permission.data_address.empty()
               ? static_cast<attempt_service*>(&agent->attempts())
               : data_ports->find(permission);
  });
  if (!started)
    return started.failure();
  server = std::move(*started);
  return done{};
}

void cluster_process::parts::stop_gateway() {
  if (!server)
    return;
  if (config.roles.scheduler) {
    digests().stop();
    weights->stop();
  }
  auto stopped = std::make_shared<std::promise<void>>();
  auto waiting = stopped->get_future();
  server->stop([stopped] { stopped->set_value(); });
  if (waiting.wait_for(gateway_stop_timeout) != std::future_status::ready) {
    spdlog::warn("the gateway did not stop in time");
    guard_work.reset();
    io.stop();
    for (auto& thread : threads)
      thread.join();
    threads.clear();
  }
  server.reset();
}

cluster_process::cluster_process(std::unique_ptr<parts> started) : parts_(std::move(started)) {}

cluster_process::~cluster_process() = default;

result<std::unique_ptr<cluster_process>> cluster_process::start(process_config config) {
  auto started = std::make_unique<parts>(std::move(config));
  for (const auto step : {&parts::start_node, &parts::describe_models, &parts::start_actors,
                          &parts::start_links, &parts::start_gateway}) {
    const auto outcome = ((*started).*step)();
    if (!outcome)
      return outcome.failure();
  }
  return std::unique_ptr<cluster_process>(new cluster_process(std::move(started)));
}

std::string cluster_process::url() const {
  return parts_->server ? parts_->server->url() : std::string();
}

void cluster_process::stop() {
  parts_->leave();
  parts_->stop_gateway();
}

void cluster_process::stop_now() {
  parts_->hurried = true;
  if (parts_->server)
    parts_->server->stop_now();
}

std::vector<device_spec> cluster_process::devices() const {
  return parts_->agent ? parts_->agent->plugins().devices() : std::vector<device_spec>{};
}

const std::vector<model_spec>& cluster_process::models() const {
  return parts_->models;
}

} // namespace consort::cli
