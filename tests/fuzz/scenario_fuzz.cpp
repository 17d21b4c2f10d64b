// SPDX-License-Identifier: Apache-2.0
// Any bytes as a scenario file: a value or an error that names a line, never a crash.
#include "scenarios/sim/scenario.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto plan = consort::sim::parse_scenario(text, "fuzz");
  const bool honest
      = plan ? !plan->nodes.empty() && !plan->models.empty() && !plan->workloads.empty()
             : plan.failure().message.rfind("fuzz:", 0) == 0;
  if (!honest)
    std::abort();
  return 0;
}
