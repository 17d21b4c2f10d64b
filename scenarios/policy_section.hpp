// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How requests are placed, as the section `scheduler` of configuration files and of scenarios says
/// it: profiles of one's own, the policy, the SLO that the scheduler aims at. One parser for both,
/// so that what was rehearsed is what is run. Pure; errors name file, line, field and the nearest
/// known name. Deliberately knows nothing of tenants, which scenarios do not have.

#include "scenarios/strict_json.hpp"
#include "scheduler/core.hpp"

namespace consort::strict_json {

struct policy_settings {
  policy_name policy{"latency"};                   ///< Of requests that name none.
  core::slo_targets slo = core::core_config{}.slo; ///< By class.
  std::vector<core::profile_config> profiles;      ///< Beside the built-in ones; each is valid.
};

/// Reads `profiles`, `policy` and `slo` over what is in `made`. What is wrong goes to `failure`, if
/// nothing was before.
void read_policies(object_reader& reader, std::string_view origin, std::optional<error>& failure,
                   policy_settings& made);

/// Names of the built-in profiles and of one's own, in this order.
[[nodiscard]] std::vector<std::string>
known_policies(const std::vector<core::profile_config>& profiles);

/// A profile's name as a field spells it: one of known_policies(); else an error.
[[nodiscard]] policy_name read_policy_name(object_reader& reader, std::string_view field,
                                           const policy_name& fallback,
                                           const std::vector<core::profile_config>& profiles);

} // namespace consort::strict_json
