// SPDX-License-Identifier: Apache-2.0
#pragma once
/// State-class actors on CAF 0.17: the state owns everything, takes `self` and its arguments in its
/// constructor, and has `make_behavior()` and a static `name`. The state dies in on_exit, so it
/// cannot outlive its actor's duties.

#include <caf/all.hpp>

#include <memory>
#include <utility>

namespace consort::actors {

template <class State>
class state_actor : public caf::event_based_actor {
public:
  template <class... Ts>
  explicit state_actor(caf::actor_config& config, Ts&&... args)
      : caf::event_based_actor(config),
        state_(std::make_unique<State>(this, std::forward<Ts>(args)...)) {}

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
