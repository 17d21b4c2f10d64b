// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/size_watcher.hpp"

#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::sim {

std::uint64_t least_bytes(const scenario_model& model) {
  constexpr auto most = std::uint64_t{1} << 60U; // As the core's, so that a sum cannot overflow.
  const auto kv = std::uint64_t{model.kv_bytes_per_token} * model.context_tokens;
  return (std::min(model.weight_bytes, most) + kv) / model.devices_per_instance;
}

bool holds(const scenario& plan, const device_model& device, const scenario_model& model) {
  if (!device.stages.empty())
    return false;
  if (!plan.engine_only)
    return device.memory_bytes >= least_bytes(model);
  // What is built for a device may be half of the weights.
  const auto times = device.build_profile.empty() ? 1U : 2U;
  return device.memory_bytes * times * model.devices_per_instance >= model.weight_bytes;
}

std::uint64_t largest_kv_tokens(const scenario& plan, const scenario_model& model) {
  std::uint64_t most = 0;
  for (const auto& node : plan.nodes)
    for (const auto& device : node.devices) {
      if (!holds(plan, *device, model))
        continue;
      if (device->kv_blocks > 0) {
        most = std::max<std::uint64_t>(most, device->kv_blocks * device->block_tokens);
        continue;
      }
      // What is built for a device may be half of the weights.
      const auto weights = model.weight_bytes / (device->build_profile.empty() ? 1 : 2);
      const auto memory = device->memory_bytes * model.devices_per_instance;
      if (memory > weights)
        most = std::max((memory - weights) / std::max<std::uint64_t>(model.kv_bytes_per_token, 1),
                        most);
    }
  return most;
}

std::uint64_t most_replicas(const scenario& plan, const scenario_model& model) {
  std::uint64_t holders = 0;
  for (const auto& node : plan.nodes)
    for (const auto& device : node.devices) {
      const auto weights = model.weight_bytes / (device->build_profile.empty() ? 1 : 2);
      // A plan over two devices has no memory of its own.
      if (!device->stages.empty() || device->memory_bytes * model.devices_per_instance > weights)
        ++holders;
    }
  return holders / model.devices_per_instance;
}

std::uint32_t answer_within(const scenario_model& model, const arrival& asked) {
  if (asked.prompt_tokens >= model.context_tokens)
    return asked.output_tokens;
  return std::min(asked.output_tokens, model.context_tokens - asked.prompt_tokens);
}

size_watcher::size_watcher(const scenario& plan) : plan_(plan) {
  for (const auto& model : plan.models) {
    auto& made = models_[model.name];
    made.model = &model;
    made.kv_tokens = largest_kv_tokens(plan, model);
    made.held = std::any_of(plan.nodes.begin(), plan.nodes.end(), [&](const scenario_node& node) {
      return std::any_of(node.devices.begin(), node.devices.end(),
                         [&](const auto& device) { return holds(plan, *device, model); });
    });
  }
}

void size_watcher::note(too_large& of, const std::string& external_id, std::uint64_t tokens) {
  if (of.count++ == 0)
    of.first = external_id;
  of.most_tokens = std::max(of.most_tokens, tokens);
}

void size_watcher::on_submitted(const request_meta& meta, time_us) {
  auto& of = models_.at(meta.model.value);
  ++of.requests;
  const auto whole = std::uint64_t{meta.prompt_tokens} + meta.max_tokens;
  if (meta.prompt_tokens >= of.model->context_tokens)
    note(of.context, meta.external_id, meta.prompt_tokens);
  else if (!of.held || whole > of.kv_tokens)
    note(of.cache, meta.external_id, whole);
}

void size_watcher::on_answer_cut(const std::string& model, const std::string& external_id,
                                 std::uint32_t asked, std::uint32_t within) {
  if (within < asked)
    note(models_.at(model).answers, external_id, asked);
}

void size_watcher::on_widest(const device_model& on, std::uint32_t sequences,
                             std::uint32_t tokens) {
  if (on.fidelity != fidelity_kind::rates)
    return;
  auto& of = measured_[on.measured.file];
  of.sequences_measured = on.points.decode.back().size;
  of.tokens_measured = on.points.prefill.back().size;
  of.sequences = std::max(of.sequences, sequences);
  of.tokens = std::max(of.tokens, tokens);
}

std::string size_watcher::explain_unheld(const sizes& of) {
  const auto& model = *of.model;
  return ": no device of the cluster holds it: with the KV cache of its context of "
         + std::to_string(model.context_tokens) + " tokens it takes "
         + format_size(least_bytes(model)) + " of each device; " + std::to_string(of.cache.count)
         + " requests asked for it, the first was " + of.cache.first;
}

namespace {

std::string place_of(const scenario_model& model) {
  return model.where.empty() ? "models." + model.name : model.where;
}

} // namespace

void size_watcher::explain(const sizes& of, std::vector<std::string>& into) {
  const auto& model = *of.model;
  const auto where = place_of(model);
  const auto tail = [&](const too_large& one) {
    return ": the largest takes " + std::to_string(one.most_tokens) + ", the first was "
           + one.first;
  };
  const auto share = [&](const too_large& one) {
    return std::to_string(one.count) + " of " + std::to_string(of.requests);
  };
  if (of.context.count > 0)
    into.push_back(where + ".context: " + share(of.context)
                   + " prompts leave no room in its context of "
                   + std::to_string(model.context_tokens) + " tokens" + tail(of.context));
  if (of.cache.count > 0 && !of.held)
    into.push_back(where + explain_unheld(of));
  else if (of.cache.count > 0)
    into.push_back(where + ": " + share(of.cache)
                   + " requests take more KV cache than any device has for it, "
                   + std::to_string(of.kv_tokens) + " tokens" + tail(of.cache));
  if (of.answers.count > 0)
    into.push_back(where + ".context: " + share(of.answers) + " answers end where its context of "
                   + std::to_string(model.context_tokens) + " tokens does: the longest was to have "
                   + std::to_string(of.answers.most_tokens) + ", the first was "
                   + of.answers.first);
}

void size_watcher::explain(const std::string& file, const widest& of,
                           std::vector<std::string>& into) {
  const auto far = [&](std::uint32_t most, double measured, const char* what, const char* flag) {
    if (most > beyond_measured * measured)
      into.push_back(file + ": was measured up to "
                     + std::to_string(static_cast<std::uint64_t>(measured)) + " " + what
                     + " in a step, and the run had " + std::to_string(most)
                     + ": their times are a guess, the line of the last points; `consort bench "
                       "--profile` with a larger "
                     + flag + " measures them");
  };
  far(of.sequences, of.sequences_measured, "streams", "--streams");
  far(of.tokens, of.tokens_measured, "prompt tokens", "--input-tokens");
}

void size_watcher::tell(run_summary& summary) const {
  std::uint64_t requests = 0;
  std::uint64_t unfit = 0;
  std::vector<std::string> notes;
  for (const auto& [name, one] : models_) {
    requests += one.requests;
    unfit += one.context.count + one.cache.count;
    explain(one, notes);
  }
  std::vector<std::string> guessed;
  for (const auto& [file, one] : measured_)
    explain(file, one, guessed);
  if (requests > 0 && unfit == requests)
    summary.violations.push_back("sizes: no request fits, so that the run shows nothing: "
                                 + notes.front());
  summary.notes.insert(summary.notes.end(), notes.begin(), notes.end());
  summary.notes.insert(summary.notes.end(), guessed.begin(), guessed.end());
  if (plan_.engine_only)
    return;
  for (const auto& model : plan_.models)
    if (const auto most = most_replicas(plan_, model); model.replicas_min > most)
      summary.notes.push_back(place_of(model) + ".replicas_min: asks for "
                              + std::to_string(model.replicas_min)
                              + ", and the cluster has room for " + std::to_string(most)
                              + ": one on a device that holds its weights");
}

} // namespace consort::sim
