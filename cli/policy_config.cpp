// SPDX-License-Identifier: Apache-2.0
#include "cli/policy_config.hpp"

#include "gateway/limits.hpp"
#include "scenarios/policy_section.hpp"

#include <algorithm>

namespace consort::cli {

using strict_json::object_reader;

std::vector<std::string> known_policies(const cluster_config& made) {
  return strict_json::known_policies(made.profiles);
}

void check_tenant(object_reader& reader, std::string_view tenant) {
  constexpr auto bytes_max = gateway::limits::tenant_bytes_max;
  const bool printable
      = std::all_of(tenant.begin(), tenant.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  const bool spaced = !tenant.empty() && (tenant.front() == ' ' || tenant.back() == ' ');
  if (!printable || spaced || tenant.size() > bytes_max)
    reader.fail(tenant, "a tenant's name must be one that a header can carry: 1 to "
                            + std::to_string(bytes_max) + " printable ASCII characters");
}

policy_name read_policy_name(object_reader& reader, std::string_view field,
                             const policy_name& fallback, const cluster_config& made) {
  return strict_json::read_policy_name(reader, field, fallback, made.profiles);
}

void read_policies(object_reader& reader, std::string_view origin, std::optional<error>& failure,
                   cluster_config& made) {
  strict_json::policy_settings read{made.policy, made.slo, {}};
  strict_json::read_policies(reader, origin, failure, read);
  made.policy = read.policy;
  made.slo = read.slo;
  made.profiles = std::move(read.profiles);
  if (const auto* tenants = reader.object("tenant_policy")) {
    object_reader each(*tenants, origin, failure);
    for (const auto& [tenant, entry] : tenants->members) {
      check_tenant(each, tenant);
      made.tenant_policy[tenant_id{tenant}] = read_policy_name(each, tenant, {}, made);
    }
    each.finish();
  }
}

} // namespace consort::cli
