// SPDX-License-Identifier: Apache-2.0
// The agent of this host: plugins, door actor, data port; and the models that the scheduler's host
// describes.
#include "cli/cluster_parts.hpp"

#include "actors/caf_compat.hpp"
#include "actors/link_actors.hpp"
#include "actors/node_actors.hpp"
#include "actors/spawn.hpp"
#include "cli/kept_models.hpp"
#include "cli/limits.hpp"
#include "node/model_files.hpp"

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

namespace consort::cli {

namespace {

model_spec spec_of(const model_config& wanted) {
  model_spec spec;
  model_variant variant;
  variant.source = wanted.source;
  variant.context_tokens = wanted.context_tokens;
  for (const auto& [name, source] : wanted.adapters)
    variant.adapters.push_back({model_name{name}, source, {}, 0});
  spec.name = model_name{wanted.name};
  for (const auto& alias : wanted.aliases)
    spec.aliases.emplace_back(alias);
  spec.variants.push_back(variant);
  for (const auto& source : wanted.further) {
    spec.variants.push_back(variant); // Of all forms alike, adapters too.
    spec.variants.back().source = source;
  }
  spec.replicas_min = wanted.replicas_min;
  spec.replicas_max = wanted.replicas_max;
  spec.idle_ttl_us = wanted.idle_ttl_us;
  spec.devices_per_instance = wanted.devices_per_instance;
  spec.policy = wanted.policy;
  return spec;
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
  options.prices = config.cluster.prices;
  options.clock = [this] { return clock.now(); };
  options.hub = node::hub_from_environment();
  std::vector<std::unique_ptr<node::plugin>> further;
  if (!config.cluster.simulate.empty()) {
    // Nothing real beside them: a rehearsal touches no hardware.
    options.built_in = false;
    options.plugin_dirs.clear();
    auto made = simulated_node::make(io, config.cluster, config.links.name);
    if (!made)
      return made.failure();
    simulated = std::move(*made);
    further.push_back(simulated->plugin());
  }
  auto started = node::agent::start(io, std::move(options), std::move(further));
  if (!started)
    return started.failure();
  agent = std::move(*started);
  return config.joins() ? start_data_port() : result<done>(done{});
}

result<done> cluster_process::parts::describe_models() {
  if (!config.roles.scheduler)
    return done{};
  std::error_code failed;
  std::filesystem::create_directories(config.cluster.data_dir, failed);
  if (failed)
    return error{recovery::refuse, "disk_error",
                 "cannot make the data folder " + config.cluster.data_dir + ": " + failed.message()
                     + "; name another with --data"};
  if (!agent)
    own_digests = std::make_unique<node::digest_cache>(config.cluster.data_dir + "/digests.json");
  weights = std::make_unique<node::weight_reader>(node::hub_from_environment(),
                                                  config.cluster.data_dir + "/weights.json");
  for (const auto& one : config.cluster.models) {
    auto spec = describe(spec_of(one));
    if (!spec)
      return spec.failure();
    models.push_back(std::move(*spec));
    configured.insert(one.name);
  }
  return done{};
}

/// What was added while an earlier scheduler ran, after the configuration's.
result<done> cluster_process::parts::restore_declared() {
  const auto kept = kept_state->load_models();
  if (!kept)
    return kept.failure();
  auto restored = restore_models(*kept, configured);
  for (const auto& why : restored.left_out)
    spdlog::warn("{}", why);
  for (auto& spec : restored.models) {
    spdlog::info("model {} is served again: it was added at run time", spec.name.value);
    models.push_back(std::move(spec));
  }
  if (!restored.left_out.empty())
    if (const auto saved = keep_declared(models); !saved)
      spdlog::error("not kept over a restart: {}", saved.failure().message);
  return done{};
}

result<done> cluster_process::parts::keep_declared(const std::vector<model_spec>& all) {
  declaration_map wanted;
  {
    const std::scoped_lock lock(naming);
    wanted = models_to_keep(all, configured);
    taken_out = models_taken_out(all, configured);
  }
  return kept_state->save_models(wanted);
}

/// Requires: a scheduler in this process.
result<model_spec> cluster_process::parts::describe(model_spec declared) {
  return node::describe_model(std::move(declared), digests(), *weights);
}

/// Blocks while files are read.
void cluster_process::parts::take_models(const std::vector<model_config>& wanted) {
  const std::scoped_lock lock(taking_models);
  auto& known = config.cluster.models;
  const auto told = [](const std::string& name) {
    return [name](const result<gateway::admin_taken>& answer) {
      if (!answer)
        spdlog::error("model {}: {}", name, answer.failure().message);
    };
  };
  const auto served = [this](const model_config& one) {
    const std::scoped_lock naming_too(naming);
    return !taken_out.contains(one.name);
  };
  for (const auto& one : wanted) {
    if (std::find(known.begin(), known.end(), one) != known.end() && served(one))
      continue;
    auto spec = describe(spec_of(one));
    if (!spec) {
      spdlog::error("kept model {} as it was: {}", one.name, spec.failure().message);
      continue;
    }
    spdlog::info("model {} declared anew", one.name);
    {
      const std::scoped_lock naming_too(naming);
      configured.insert(one.name);
    }
    link->admin(core::model_declared{*std::move(spec)}, told(one.name));
    std::erase_if(known, [&](const auto& before) { return before.name == one.name; });
    known.push_back(one);
  }
  std::erase_if(known, [&](const auto& before) {
    const bool gone = std::none_of(wanted.begin(), wanted.end(),
                                   [&](const auto& one) { return one.name == before.name; });
    if (gone) {
      spdlog::info("model {} removed", before.name);
      const std::scoped_lock naming_too(naming);
      configured.erase(before.name);
      link->admin(core::model_removed{model_name(before.name)}, told(before.name));
    }
    return gone;
  });
}

void cluster_process::take_models(std::vector<model_config> models) {
  if (parts_->config.roles.scheduler && parts_->link)
    boost::asio::post(parts_->io, [parts = parts_.get(), models = std::move(models)] {
      parts->take_models(models);
    });
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

void cluster_process::parts::leave() {
  if (!data_port || !connector || connector->state() != links::dial_state::linked)
    return;
  if (data_port->counters().attempts_open > 0) {
    tell_leaving(false);
    wait_for_streams();
  }
  tell_leaving(true);
  if (data_port->counters().attempts_open > 0) // The scheduler moves them before they break.
    std::this_thread::sleep_for(limits::stop_linger);
}

/// Returns when the link has it.
void cluster_process::parts::tell_leaving(bool gone) {
  auto said = std::make_shared<std::promise<void>>();
  auto waiting = said->get_future();
  actors::post_from_outside(door, actors::leave_wanted{gone, [said] { said->set_value(); }});
  if (waiting.wait_for(limits::goodbye_timeout) != std::future_status::ready)
    spdlog::warn("the scheduler may not have heard that this node leaves");
}

/// Until none is left, the time is up or a second signal came. A ticket that was given before the
/// scheduler heard may still come.
void cluster_process::parts::wait_for_streams() {
  const auto until = std::chrono::steady_clock::now() + limits::stop_drain;
  const auto left = [&] { return data_port->counters().attempts_open; };
  while (left() > 0 && !hurried && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(limits::stop_look);
  if (const auto running = left(); running > 0)
    spdlog::info("node: {} streams did not end in time and go on elsewhere, where they can",
                 running);
  else
    std::this_thread::sleep_for(limits::stop_linger);
}

} // namespace consort::cli
