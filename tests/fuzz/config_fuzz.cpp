// SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration file: a value or an error that names a line, never a crash.
#include "cli/config.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lookup = [](const std::string& name) -> std::optional<std::string> {
    return name == "HOME" ? std::optional<std::string>("/home") : std::nullopt;
  };
  const auto config = consort::cli::parse_config(text, "fuzz", "/base", lookup);
  const bool honest = config ? config->queue_max > 0 && config->lease_us > 0
                             : config.failure().message.rfind("fuzz:", 0) == 0;
  if (!honest)
    std::abort();
  return 0;
}
