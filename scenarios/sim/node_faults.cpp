// SPDX-License-Identifier: Apache-2.0
// What can go wrong inside a node, and how a node of ours says so.
#include "messages/server_status.hpp"
#include "scenarios/sim/node_state.hpp"

namespace consort::sim {

void node_model::pause() {
  paused_ = running_;
}

void node_model::set_slowness(const device_id& id, double factor, bool hot) {
  auto& one = device_of(id);
  one.slowness = factor;
  one.hot = hot;
  for (auto& [number, loaded] : instances_)
    if (loaded.leader == id)
      loaded.runs->set_slowness(factor);
}

/// Every instance on the device ends as when its host process dies.
void node_model::end_runtimes(const device_id& id, const char* code, const std::string& why) {
  std::vector<instance_id> dying;
  for (const auto& [number, loaded] : instances_)
    if (loaded.leader == id)
      dying.push_back(number);
  for (const auto number : dying) {
    abort_attempts(number, {recovery::retry_elsewhere, code, why}, true);
    instances_.erase(number);
    tell(core::replica_failed{number, life_, {recovery::retry_elsewhere, code, why}});
  }
}

void node_model::crash(const device_id& id, bool again) {
  device_of(id).crashes = again;
  if (running_ && !paused_)
    end_runtimes(id, "runtime_died", "the runtime died");
}

void node_model::let_run(const device_id& id) {
  device_of(id).crashes = false;
}

void node_model::exhaust(const device_id& id, bool full) {
  device_of(id).out_of_memory = full;
  if (full && running_ && !paused_)
    end_runtimes(id, "out_of_memory", "the device's memory is taken");
}

void node_model::set_storm(const device_id& id, std::uint32_t status, double share) {
  auto& one = device_of(id);
  one.storm_status = status;
  one.storm_share = share;
}

void node_model::set_compilers(compiler_trouble trouble) {
  compilers_ = trouble;
  if (trouble == compiler_trouble::hangs)
    return;
  // Whoever looked after the hung ones kills them now.
  const auto hung = std::move(hanging_);
  hanging_.clear();
  for (const auto which : hung)
    give_up_compile(which, "killed");
}

void node_model::corrupt_store() {
  for (const auto& [content, record] : store_)
    rotten_.insert(content);
}

void node_model::give_up_compile(compile_id which, const char* why) {
  if (end_build(which) && running_)
    tell(core::compile_failed{
        which,
        life_,
        {recovery::retry_later, "compile_timeout", std::string("the compiler was ") + why}});
}

/// As the store does when it verifies what it is about to hand out. Returns: whether it is good.
bool node_model::verify(const digest& content) {
  if (rotten_.count(content) == 0)
    return store_.count(content) != 0;
  rotten_.erase(content);
  const auto found = store_.find(content);
  if (found == store_.end())
    return false;
  tell(core::artifact_lost{found->second.key, content, node_id(description_.name), life_,
                           "its SHA-256 does not match"});
  store_.erase(found);
  return false;
}

/// What a remote API in trouble answers instead of working; nothing when this attempt is spared.
std::optional<attempt_aborted> node_model::stormed(const device& on) {
  if (on.storm_status == 0 || chance_.unit() >= on.storm_share)
    return std::nullopt;
  return judge_server_status(on.storm_status, "simulated");
}

std::optional<std::int32_t> node_model::temperature_of(const device& one) {
  return one.hot ? std::optional(throttled_mc) : std::nullopt;
}

} // namespace consort::sim
