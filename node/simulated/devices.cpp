// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/devices.hpp"

#include "node/simulated/devices_state.hpp"
#include "node/simulated/limits.hpp"
#include "node/simulated/model_card.hpp"
#include "scenarios/models/device_claims.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace consort::node {

namespace {

/// Per mille at which a build says how far it is.
constexpr std::array<std::uint32_t, 3> progress_marks{250, 500, 750};

/// Agents number devices per type in order of their uuids: two digits keep that order ours.
std::string uuid_of(const std::string& node, std::size_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%02zu", number);
  return "simulated-" + node + "-" + text.data();
}

/// Of what a build is to read; 0 = its card cannot be read any more.
std::uint64_t weight_bytes_of(const compile_request& order) {
  const auto card = read_simulated_card(order.model_path);
  return card ? card->weight_bytes : 0;
}

/// Stands for a compiled engine, which weighs half of f16 weights. Returns: whether it could be
/// written.
bool write_artifact(const compile_request& order, std::uint64_t weight_bytes) {
  std::ofstream file(order.output_path, std::ios::binary);
  file << "simulated artifact of " << order.key.binds << " for " << order.key.profile.target
       << "\n";
  if (!file.flush())
    return false;
  const auto bytes = std::min(weight_bytes / 2, limits::simulated_artifact_bytes_max);
  std::error_code failed;
  if (std::filesystem::file_size(order.output_path, failed) < bytes)
    std::filesystem::resize_file(order.output_path, bytes, failed);
  return !failed;
}

} // namespace

simulated_devices::simulated_devices(simulated_settings settings)
    : settings_(std::move(settings)), chance_(settings_.seed, "node " + settings_.node) {
  std::map<std::string, std::size_t> numbers;
  for (const auto& model : settings_.devices) {
    device made;
    made.name = model->type + std::to_string(numbers[model->type]++);
    made.spec = sim::device_spec_of(*model, settings_.usual);
    made.spec.uuid = uuid_of(settings_.node, devices_.size());
    made.spec.tags = {"simulated"};
    made.spec.attributes = {{"simulated", "the model of " + model->name + " in real time"}};
    if (!made.spec.capability.formats.empty())
      made.spec.capability.formats = {std::string(simulated_format)};
    made.model = model;
    made.requests_left = model->remote.requests_per_min;
    made.tokens_left = static_cast<double>(model->remote.tokens_per_min);
    devices_.push_back(std::move(made));
  }
}

simulated_devices::~simulated_devices() = default;

std::vector<device_spec> simulated_devices::specs() const {
  std::vector<device_spec> made;
  for (const auto& one : devices_)
    made.push_back(one.spec);
  return made;
}

std::vector<build_profile> simulated_devices::toolchains() const {
  std::vector<build_profile> made;
  for (const auto& one : devices_)
    for (const auto& build : one.spec.capability.build_profiles)
      if (std::find(made.begin(), made.end(), build.profile) == made.end())
        made.push_back(build.profile);
  return made;
}

simulated_devices::device& simulated_devices::device_of(const std::string& uuid) {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const device& one) { return one.spec.uuid == uuid; });
  assert(found != devices_.end());
  return *found;
}

// --- telemetry ---

std::map<std::string, device_reading> simulated_devices::read() {
  std::map<std::string, device_reading> made;
  for (auto& one : devices_)
    made[one.spec.uuid] = reading_of(one);
  return made;
}

device_reading simulated_devices::reading_of(device& one) {
  std::uint64_t used = 0;
  double intensity = 0;
  time_us busy_at = 0;
  for (const auto& [number, loaded] : sessions_) {
    if (loaded->on != &one || !loaded->runs)
      continue;
    const auto& variant = loaded->order.variant;
    used += variant.weight_bytes + loaded->runs->kv_tokens_used() * variant.kv_bytes_per_token;
    intensity = std::max(intensity, loaded->runs->intensity());
    busy_at = std::max(busy_at, loaded->runs->busy_at());
  }
  const auto& model = *one.model;
  const auto now = queue_.now();
  const bool asleep = model.sleep_after_us > 0 && now - busy_at > model.sleep_after_us;
  const auto floor_mw = static_cast<double>(asleep ? model.sleep_mw : model.idle_mw);
  one.energy_mj += floor_mw * static_cast<double>(now - std::exchange(one.counted_at, now)) / 1e6;
  device_reading made;
  made.memory_used_bytes = used;
  made.utilization_pm = static_cast<std::uint32_t>(intensity * 1'000);
  made.power_mw
      = static_cast<std::uint64_t>(intensity > 0 ? sim::power_mw(model, intensity) : floor_mw);
  made.energy_mj = static_cast<std::uint64_t>(one.energy_mj);
  if (one.trouble.hot) {
    made.temperature_mc = sim::throttled_mc;
    made.health = device_health::degraded;
    made.health_reason = sim::throttled_words;
  }
  return made;
}

// --- faults ---

void simulated_devices::trouble(const simulated_troubles& wanted) {
  for (auto& one : devices_) {
    const auto found = wanted.devices.find(one.name);
    strike(one, found == wanted.devices.end() ? device_trouble{} : found->second);
  }
  const bool hung = compilers_ == compiler_trouble::hang;
  compilers_ = wanted.compilers;
  if (hung && compilers_ != compiler_trouble::hang)
    give_up_hung_builds();
}

void simulated_devices::strike(device& one, const device_trouble& wanted) {
  const auto before = std::exchange(one.trouble, wanted);
  const bool first_look = !std::exchange(one.looked, true);
  for (const auto& [number, loaded] : sessions_)
    if (loaded->on == &one && loaded->runs)
      loaded->runs->set_slowness(wanted.factor);
  if (wanted.full && !before.full)
    end_runtimes(one, {recovery::retry_elsewhere, "out_of_memory", "the device's memory is taken"});
  // A process that starts anew did not live through the crashes before.
  if ((wanted.crashes > before.crashes && !first_look) || (wanted.crashing && !before.crashing))
    end_runtimes(one, {recovery::retry_elsewhere, "runtime_died", "the runtime died"});
}

// --- builds ---

std::uint64_t simulated_devices::build(const compile_request& wanted,
                                       std::function<void(std::uint32_t)> progress,
                                       build_finished finished) {
  const auto number = ++numbers_;
  const auto weight_bytes = weight_bytes_of(wanted);
  duration_us took_us = limits::second_us;
  for (const auto& one : devices_)
    if (one.model->build_profile == wanted.key.profile.name)
      took_us = sim::compile_us_of(*one.model, weight_bytes);
  builds_[number] = {wanted, weight_bytes, took_us, std::move(progress), std::move(finished)};
  if (compilers_ == compiler_trouble::hang) {
    builds_[number].took_us = 0;
    return number; // Until the hang ends, or whoever ordered it gives up.
  }
  for (const auto mark : progress_marks)
    queue_.after(took_us * mark / 1'000, [this, number, mark] {
      if (const auto found = builds_.find(number); found != builds_.end())
        found->second.progress(mark);
    });
  queue_.after(took_us, [this, number] { finish_build(number); });
  return number;
}

void simulated_devices::finish_build(std::uint64_t which) {
  const auto found = builds_.find(which);
  if (found == builds_.end())
    return;
  const auto ended = std::move(found->second);
  builds_.erase(found);
  if (compilers_ == compiler_trouble::fail || compilers_ == compiler_trouble::refuse)
    return ended.finished(
        error{compilers_ == compiler_trouble::refuse ? recovery::refuse : recovery::retry_later,
              "compile_failed", "the compiler exited with status 1"});
  if (!write_artifact(ended.order, ended.weight_bytes))
    return ended.finished(error{recovery::retry_later, "compile_failed",
                                ended.order.output_path + " could not be written"});
  ended.finished(compile_outcome{{{"simulated", "true"}}, ended.took_us});
}

void simulated_devices::cancel_build(std::uint64_t which) {
  builds_.erase(which);
}

/// Whoever looked after the hung ones kills them.
void simulated_devices::give_up_hung_builds() {
  std::vector<build_finished> told;
  for (auto at = builds_.begin(); at != builds_.end();) {
    if (at->second.took_us > 0) {
      ++at;
      continue;
    }
    told.push_back(std::move(at->second.finished));
    at = builds_.erase(at);
  }
  for (const auto& finished : told)
    finished(error{recovery::retry_later, "compile_timeout", "the compiler was killed"});
}

} // namespace consort::node
