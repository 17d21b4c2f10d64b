// SPDX-License-Identifier: Apache-2.0
#include "links/log.hpp"

namespace consort::links {

spdlog::logger& log() {
  static const auto kept = [] {
    auto found = spdlog::get("links");
    return found ? found : spdlog::default_logger()->clone("links");
  }();
  return *kept;
}

} // namespace consort::links
