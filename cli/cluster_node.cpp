// SPDX-License-Identifier: Apache-2.0
// The agent of this host: plugins, door actor, data port; and the models that the scheduler's host
// describes.
#include "cli/cluster_parts.hpp"

#include "actors/caf_compat.hpp"
#include "actors/link_actors.hpp"
#include "actors/node_actors.hpp"
#include "actors/spawn.hpp"
#include "node/model_files.hpp"

#include <algorithm>
#include <filesystem>

namespace consort::cli {

namespace {

result<model_spec> describe(const model_config& wanted, node::digest_cache& digests) {
  model_spec spec;
  model_variant variant;
  variant.source = wanted.source;
  variant.context_tokens = wanted.context_tokens;
  spec.name = model_name{wanted.name};
  for (const auto& alias : wanted.aliases)
    spec.aliases.emplace_back(alias);
  spec.variants.push_back(std::move(variant));
  spec.replicas_min = wanted.replicas_min;
  spec.replicas_max = wanted.replicas_max;
  spec.idle_ttl_us = wanted.idle_ttl_us;
  spec.devices_per_instance = wanted.devices_per_instance;
  spec.policy = wanted.policy;
  return node::describe_model(std::move(spec), digests);
}

} // namespace

result<done> cluster_process::parts::start_node() {
  if (!config.roles.node)
    return done{};
  node::agent_options options;
  options.name = node_id{config.links.name};
  options.data_path = config.cluster.data_dir;
  options.plugin_dirs = config.cluster.plugin_dirs;
  options.executable = executable_path();
  options.llama_library = engine_library();
  options.clock = [this] { return clock.now(); };
  auto started = node::agent::start(io, std::move(options));
  if (!started)
    return started.failure();
  agent = std::move(*started);
  return config.joins() ? start_data_port() : result<done>(done{});
}

result<done> cluster_process::parts::describe_models() {
  if (!config.roles.scheduler)
    return done{};
  std::filesystem::create_directories(config.cluster.data_dir);
  if (!agent)
    own_digests = std::make_unique<node::digest_cache>(config.cluster.data_dir + "/digests.json");
  for (const auto& one : config.cluster.models) {
    auto spec = describe(one, digests());
    if (!spec)
      return spec.failure();
    models.push_back(std::move(*spec));
  }
  return done{};
}

/// Requires: an agent or a scheduler in this process.
node::digest_cache& cluster_process::parts::digests() {
  return agent ? agent->digests() : *own_digests;
}

void cluster_process::parts::start_door() {
  actors::node_options node;
  node.agent = agent.get();
  node.cluster = config.cluster.cluster;
  node.join_token = config.links.token;
  node.life = life;
  node.scheduler = scheduler;
  if (config.joins()) {
    node.data_address = data_port->address();
    node.fetcher = fetcher.get();
    node.on_scheduler_time = [this](time_us now) { clock.set(now); };
  }
  door = actors::spawn_state<actors::door_state>(*actor_system, std::move(node));
  if (config.joins())
    actors::post_from_outside(scheduler, actors::uplink_owner{door});
}

} // namespace consort::cli
