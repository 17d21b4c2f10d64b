// SPDX-License-Identifier: Apache-2.0
#include "cli/live/configuration.hpp"

#include "scenarios/remote_section.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace consort::live {

using nlohmann::json;

namespace {

std::string span(duration_us us) {
  return std::to_string(us) + "us";
}

json profiles_of(const sim::scenario& plan) {
  json made = json::object();
  for (const auto& one : plan.profiles)
    made[one.name.value] = {{"weights", one.weights},
                            {"filters", one.filters},
                            {"pick", one.pick},
                            {"waits", one.waits}};
  return made;
}

json slo_of(const core::slo_targets& aims) {
  constexpr std::array<const char*, 3> classes{"interactive", "standard", "batch"};
  json made = json::object();
  for (std::size_t at = 0; at < classes.size(); ++at)
    made[classes.at(at)] = {{"ttft", span(aims.at(at).ttft_us)},
                            {"ttft_per_1000_tokens", span(aims.at(at).ttft_per_1000_us)},
                            {"itl", span(aims.at(at).itl_us)}};
  return made;
}

json models_of(const sim::scenario& plan,
               const std::function<std::string(const sim::scenario_model&)>& source_of) {
  json made = json::object();
  for (const auto& model : plan.models) {
    auto& one = made[model.name];
    one = {{"source", source_of(model)},
           {"ttl", "0"},
           {"replicas", {{"min", model.replicas_min}, {"max", model.replicas_max}}}};
    if (!model.policy.empty())
      one["policy"] = model.policy.value;
  }
  return made;
}

} // namespace

std::string
configuration_of(const sim::scenario& plan, const std::string& policy,
                 const std::function<std::string(const sim::scenario_model&)>& source_of) {
  const json remote{{"use", strict_json::remote_word(plan.remote)},
                    {"budget_milli_per_hour", plan.remote_budget_micros_per_hour / 1'000}};
  const json whole{{"cluster", "rehearsal"},
                   {"scheduler",
                    {{"policy", policy},
                     {"profiles", profiles_of(plan)},
                     {"slo", slo_of(plan.aims)},
                     {"queue_max", plan.queue_max},
                     {"lease", span(plan.lease_us)},
                     {"queue_timeout", span(plan.queue_timeout_us)},
                     {"remote", remote}}},
                   {"models", models_of(plan, source_of)}};
  return whole.dump(2) + "\n";
}

} // namespace consort::live
