// SPDX-License-Identifier: Apache-2.0
#include "cli/simulated_node.hpp"

#include "scenarios/sim/scenario.hpp"
#include "scheduler/nearest_name.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace consort::cli {

namespace {

/// Faults are to strike when they are due.
constexpr std::chrono::milliseconds look_every{20};

result<node::simulated_settings> settings_of(const std::string& path, const std::string& name) {
  const auto plan = sim::load_scenario(path);
  if (!plan)
    return plan.failure();
  const auto found = std::find_if(plan->nodes.begin(), plan->nodes.end(),
                                  [&](const auto& one) { return one.name == name; });
  if (found == plan->nodes.end()) {
    std::vector<std::string> names;
    for (const auto& one : plan->nodes)
      names.push_back(one.name);
    return error{recovery::refuse, "usage",
                 "--name: " + path + " has no node `" + name + "`" + did_you_mean(name, names)};
  }
  node::simulated_settings made;
  made.node = name;
  made.devices = found->devices;
  made.seed = plan->seed.value_or(made.seed);
  for (const auto& model : plan->models)
    made.shapes[model_name(model.name)] = model.shape;
  // A spec sheet speaks of one model: the largest there is.
  made.usual = std::max_element(
                   plan->models.begin(), plan->models.end(),
                   [](const auto& a, const auto& b) { return a.weight_bytes < b.weight_bytes; })
                   ->shape;
  return made;
}

} // namespace

simulated_node::simulated_node(std::shared_ptr<node::simulated_runtime> devices)
    : devices_(std::move(devices)) {}

result<std::unique_ptr<simulated_node>> simulated_node::make(boost::asio::io_context& io,
                                                             const cluster_config& config,
                                                             const std::string& name) {
  auto settings = settings_of(config.simulate, name);
  if (!settings)
    return settings.failure();
  spdlog::info("node {} is simulated: {} devices of {}, no hardware", name,
               settings->devices.size(), config.simulate);
  std::unique_ptr<simulated_node> made(
      new simulated_node(node::simulated_runtime::make(io, *std::move(settings))));
  made->path_ = config.data_dir + "/" + troubles_file;
  made->look();
  made->watch_ = std::make_unique<file_watch>(
      io, made->path_, [looks = made.get()] { looks->look(); }, look_every);
  return made;
}

std::unique_ptr<node::plugin> simulated_node::plugin() const {
  return node::make_simulated_plugin(devices_);
}

void simulated_node::look() {
  const auto wanted = node::read_troubles(path_);
  if (!wanted)
    return spdlog::error("kept the faults as they were: {}", wanted.failure().message);
  devices_->trouble(*wanted);
}

} // namespace consort::cli
