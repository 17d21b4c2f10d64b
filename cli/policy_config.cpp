// SPDX-License-Identifier: Apache-2.0
#include "cli/policy_config.hpp"

#include "gateway/limits.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>

namespace consort::cli {

using strict_json::object_reader;
using strict_json::value;

namespace {

duration_us not_negative(object_reader& reader, std::string_view field, duration_us fallback,
                         duration_us least) {
  const auto given = reader.duration(field, fallback);
  if (given < least)
    reader.fail(field, least == 0 ? "must not be negative" : "must be above 0");
  return given;
}

core::slo_target read_target(object_reader& reader, core::slo_target fallback) {
  fallback.ttft_us = not_negative(reader, "ttft", fallback.ttft_us, 1);
  fallback.ttft_per_1000_us
      = not_negative(reader, "ttft_per_1000_tokens", fallback.ttft_per_1000_us, 0);
  fallback.itl_us = not_negative(reader, "itl", fallback.itl_us, 1);
  return fallback;
}

/// Fields for interactive and standard requests together, and an object for a class apart.
void read_slo(const value& section, std::string_view origin, std::optional<error>& failure,
              core::slo_targets& slo) {
  object_reader reader(section, origin, failure);
  slo[0] = slo[1] = read_target(reader, slo[1]);
  constexpr std::array<const char*, 3> classes{"interactive", "standard", "batch"};
  for (std::size_t at = 0; at < classes.size(); ++at)
    if (const auto* own = reader.object(classes[at])) {
      object_reader target(*own, origin, failure);
      slo[at] = read_target(target, slo[at]);
      target.finish();
    }
  reader.finish();
}

core::profile_config read_profile(const std::string& name, const value& entry,
                                  std::string_view origin, std::optional<error>& failure) {
  core::profile_config made;
  made.name = policy_name{name};
  object_reader reader(entry, origin, failure);
  if (const auto* weights = reader.object("weights")) {
    object_reader each(*weights, origin, failure);
    for (const auto& scorer : core::all_scorers())
      if (const auto weight = each.integer(scorer.name, 0, 0, core::weight_max); weight > 0)
        made.weights[scorer.name] = static_cast<std::uint32_t>(weight);
    each.finish();
  }
  made.filters = reader.texts("filters");
  made.pick = reader.text("pick", made.pick);
  made.waits = reader.boolean("waits", made.waits);
  reader.finish();
  if (const auto checked = core::profile_of(made); !checked && !failure)
    failure = strict_json::error_at(origin, entry, checked.failure().message);
  return made;
}

void read_profiles(const value& section, std::string_view origin, std::optional<error>& failure,
                   std::vector<core::profile_config>& profiles) {
  const auto room = core::profiles_max - core::builtin_profiles().size();
  if (section.members.size() > room && !failure)
    failure
        = strict_json::error_at(origin, section, "more than " + std::to_string(room) + " profiles");
  for (const auto& [name, entry] : section.members)
    profiles.push_back(read_profile(name, entry, origin, failure));
}

} // namespace

std::vector<std::string> known_policies(const cluster_config& made) {
  auto known = core::policy_words();
  for (const auto& one : made.profiles)
    known.push_back(one.name.value);
  return known;
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
  const auto word = reader.text(field, fallback.value);
  const auto known = known_policies(made);
  if (word != fallback.value && std::find(known.begin(), known.end(), word) == known.end())
    reader.fail(field, "unknown policy `" + word + "`" + did_you_mean(word, known));
  return policy_name{word};
}

void read_policies(object_reader& reader, std::string_view origin, std::optional<error>& failure,
                   cluster_config& made) {
  // Before whatever may name one of them.
  if (const auto* profiles = reader.object("profiles"))
    read_profiles(*profiles, origin, failure, made.profiles);
  made.policy = read_policy_name(reader, "policy", made.policy, made);
  if (const auto* slo = reader.object("slo"))
    read_slo(*slo, origin, failure, made.slo);
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
