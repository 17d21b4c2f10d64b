// SPDX-License-Identifier: Apache-2.0
#pragma once
/// State-class actors on CAF 0.17: the state owns everything, takes `self` and its arguments in its
/// constructor, and has `make_behavior()` and a static `name`. The state dies in on_exit, so it
/// cannot outlive its actor's duties. What a handler throws is a defect and ends the process, which
/// the cluster survives and a supervisor mends: without one of its actors it would look alive and
/// serve nobody.

#include "actors/caf_compat.hpp"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <utility>

namespace consort::actors {

/// Says what was thrown in the actor of that name, and aborts.
[[noreturn]] inline void die_of(const char* name, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& failure) {
    spdlog::critical("defect: actor {} threw: {}; the process ends", name, failure.what());
  } catch (...) {
    spdlog::critical("defect: actor {} threw; the process ends", name);
  }
  spdlog::default_logger()->flush();
  std::abort();
}

template <class State>
class state_actor : public caf::event_based_actor {
public:
  template <class... Ts>
  explicit state_actor(caf::actor_config& config, Ts&&... args)
      : caf::event_based_actor(config),
        state_(std::make_unique<State>(this, std::forward<Ts>(args)...)) {
    on_exception(this, [](const std::exception_ptr& thrown) { die_of(State::name, thrown); });
  }

  caf::behavior make_behavior() override { return state_->make_behavior(); }
  const char* name() const override { return State::name; }
  void on_exit() override { state_.reset(); }

private:
  std::unique_ptr<State> state_;
};

/// Spawns on CAF's shared workers. Its handlers must not block.
template <class State, class... Ts>
caf::actor spawn_state(caf::actor_system& system, Ts&&... args) {
  return system.spawn<state_actor<State>>(std::forward<Ts>(args)...);
}

/// The same, called on a thread that is neither CAF's nor the one that ends the system. CAF leaves
/// a hold on the system's logger with every thread that spawns, and the system's destructor waits
/// for the last of them: it is let go here.
template <class State, class... Ts>
caf::actor spawn_state_from_outside(caf::actor_system& system, Ts&&... args) {
  auto spawned = spawn_state<State>(system, std::forward<Ts>(args)...);
  caf::logger::set_current_actor_system(nullptr);
  return spawned;
}

/// Spawns on a thread of its own, for actors whose handlers touch files, devices or processes.
template <class State, class... Ts>
caf::actor spawn_blocking_state(caf::actor_system& system, Ts&&... args) {
  return system.spawn<state_actor<State>, caf::detached>(std::forward<Ts>(args)...);
}

} // namespace consort::actors
