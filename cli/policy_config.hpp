// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The part of a configuration that says how requests are placed: policy, SLO, profiles of one's
/// own (scenarios/policy_section.hpp, as scenarios have them too), and which tenant has which.
/// Pure; errors name file, line, field and the nearest known name.

#include "cli/config.hpp"
#include "scenarios/strict_json.hpp"

namespace consort::cli {

/// Reads `policy`, `slo`, `profiles` and `tenant_policy` of the section into `made`.
void read_policies(strict_json::object_reader& reader, std::string_view origin,
                   std::optional<error>& failure, cluster_config& made);

/// A tenant's name, as X-Consort-Tenant can carry it; empty is the anonymous one.
void check_tenant(strict_json::object_reader& reader, std::string_view tenant);

/// Built-in profiles and those of `made`.
[[nodiscard]] std::vector<std::string> known_policies(const cluster_config& made);

/// A profile's name as a field spells it: built-in, or one of `made`'s own; else an error.
[[nodiscard]] policy_name read_policy_name(strict_json::object_reader& reader,
                                           std::string_view field, const policy_name& fallback,
                                           const cluster_config& made);

} // namespace consort::cli
