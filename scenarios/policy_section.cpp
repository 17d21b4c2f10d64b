// SPDX-License-Identifier: Apache-2.0
#include "scenarios/policy_section.hpp"

#include "scheduler/nearest_name.hpp"
#include "scheduler/policy/profile.hpp"

#include <algorithm>
#include <array>

namespace consort::strict_json {

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

/// Where people have to look for what makes a profile invalid: each part is tried by itself. What
/// is wrong with no part is wrong with the whole.
const value& wrong_part(const core::profile_config& made, const value& entry) {
  using weights = std::map<std::string, std::uint32_t>;
  const auto fails
      = [&](const weights& by, const std::vector<std::string>& filters, const std::string& pick) {
          return !core::profile_of({made.name, by, filters, pick, made.waits}).ok();
        };
  const std::string weighs_nothing = "random"; // A pick that needs no weights.
  if (fails({}, {}, weighs_nothing))
    return entry; // Its name.
  for (const auto& one : made.weights)
    if (fails({one}, {}, weighs_nothing))
      return *entry.find("weights")->find(one.first);
  for (std::size_t at = 0; at < made.filters.size(); ++at)
    if (fails({}, {made.filters[at]}, weighs_nothing))
      return entry.find("filters")->items[at];
  if (fails({{core::all_scorers().front().name, 1}}, {}, made.pick))
    return *entry.find("pick");
  return entry;
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
  if (failure)
    return made;
  if (const auto checked = core::profile_of(made); !checked)
    failure = error_at(origin, wrong_part(made, entry), checked.failure().message);
  return made;
}

void read_profiles(const value& section, std::string_view origin, std::optional<error>& failure,
                   std::vector<core::profile_config>& profiles) {
  const auto room = core::profiles_max - core::builtin_profiles().size();
  if (section.members.size() > room && !failure)
    failure = error_at(origin, section, "more than " + std::to_string(room) + " profiles");
  for (const auto& [name, entry] : section.members)
    profiles.push_back(read_profile(name, entry, origin, failure));
}

} // namespace

std::vector<std::string> known_policies(const std::vector<core::profile_config>& profiles) {
  auto known = core::policy_words();
  for (const auto& one : profiles)
    known.push_back(one.name.value);
  return known;
}

policy_name read_policy_name(object_reader& reader, std::string_view field,
                             const policy_name& fallback,
                             const std::vector<core::profile_config>& profiles) {
  const auto word = reader.text(field, fallback.value);
  const auto known = known_policies(profiles);
  if (word != fallback.value && std::find(known.begin(), known.end(), word) == known.end())
    reader.fail(field, "unknown policy `" + word + "`" + did_you_mean_or_list(word, known));
  return policy_name{word};
}

void read_policies(object_reader& reader, std::string_view origin, std::optional<error>& failure,
                   policy_settings& made) {
  // Before whatever may name one of them.
  if (const auto* profiles = reader.object("profiles"))
    read_profiles(*profiles, origin, failure, made.profiles);
  made.policy = read_policy_name(reader, "policy", made.policy, made.profiles);
  if (const auto* slo = reader.object("slo"))
    read_slo(*slo, origin, failure, made.slo);
}

} // namespace consort::strict_json
