// SPDX-License-Identifier: Apache-2.0
#include "gateway/log.hpp"

namespace consort::gateway {

spdlog::logger& log() {
  static const auto kept = [] {
    auto found = spdlog::get("gateway");
    return found ? found : spdlog::default_logger()->clone("gateway");
  }();
  return *kept;
}

} // namespace consort::gateway
