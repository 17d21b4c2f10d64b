// SPDX-License-Identifier: Apache-2.0
#include "node/builtin.hpp"

namespace consort::node {

std::vector<std::unique_ptr<plugin>> builtin_plugins(builtin_config config) {
  std::vector<std::unique_ptr<plugin>> plugins;
  plugins.push_back(make_cpu_plugin(std::move(config.cpu)));
  return plugins;
}

} // namespace consort::node
