// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Everything that differs between CAF releases, in one file: how to post, delay, monitor and
/// convert errors. The rest of actors/ calls these and stays unchanged when CAF is upgraded.
/// Written for 0.17.6.

#include "actors/type_ids.hpp"
#include "scheduler/result.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <exception>
#include <utility>

#if CAF_VERSION < 1706 || CAF_VERSION >= 1800
#error "written for CAF 0.17.6: adapt this header before building against another release"
#endif

namespace consort::actors {

/// Sends `message` to `receiver` as `self`. Never blocks, never fails: a dead receiver drops it.
template <class Self, class Handle, class... Ts>
void post(Self* self, const Handle& receiver, Ts&&... message) {
  self->send(receiver, std::forward<Ts>(message)...);
}

/// Sends `message` to `self` after `delay`.
template <class Self, class... Ts>
void post_self_after(Self* self, std::chrono::microseconds delay, Ts&&... message) {
  self->delayed_send(caf::actor_cast<caf::actor>(self), delay, std::forward<Ts>(message)...);
}

/// Sends from outside any actor, in the name of `from`, so that replies reach it.
template <class... Ts>
void post_as(const caf::actor& from, const caf::actor& receiver, Ts&&... message) {
  caf::send_as(from, receiver, std::forward<Ts>(message)...);
}

/// Sends from outside any actor, from nobody.
template <class... Ts>
void post_from_outside(const caf::actor& receiver, Ts&&... message) {
  caf::anon_send(receiver, std::forward<Ts>(message)...);
}

/// Stops an actor of this process. Never used on a remote handle: it would kill the remote actor.
inline void stop(const caf::actor& local) {
  caf::anon_send_exit(local, caf::exit_reason::user_shutdown);
}

/// Calls `handler` with the address of a monitored actor when it is gone. A hint: leases decide
/// (docs/ARCHITECTURE.md).
template <class Self, class Handler>
void on_down(Self* self, Handler handler) {
  self->set_down_handler([handler](const caf::down_msg& down) { handler(down.source); });
}

/// Calls `handler` with what a handler of `self` threw, instead of CAF's way: to end that actor and
/// say nothing.
template <class Self, class Handler>
void on_exception(Self* self, Handler handler) {
  self->set_exception_handler([handler](std::exception_ptr& thrown) -> caf::error {
    handler(thrown);
    return caf::exit_reason::unhandled_exception;
  });
}

/// A CAF error as one of ours.
template <class System>
error to_error(const System& system, const caf::error& failure, recovery action) {
  return error{action, "link", system.render(failure)};
}

} // namespace consort::actors
