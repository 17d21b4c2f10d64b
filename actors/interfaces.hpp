// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every actor's messages, in one place. Between a node or gateway and the scheduler only `frame`
/// travels (it may cross a link); the structs below stay inside one process and are never
/// serialised.
///
///   scheduler      <- frame (hello, events, requests for views), deadline_tick, peer_revoked,
///                     relink_due
///   node door      <- frame (hello answer, commands, reloads, lists), device_news, link_restored,
///   link_lost,
///                     renew_tick, probe_tick, reload_wanted, plugins_changed, leave_wanted
///   device         <- device_order, device_described, inventory_wanted, load_prepared,
///                     session_opened, session_died, cache_kept, device_sample
///   compile        <- compile_advanced, compile_done; its exit kills the tool
///   telemetry      <- sample_tick, reload_wanted
///   gateway link   <- frame (hello answer, commands, views), link_restored, link_lost, expire_tick
///   peer, uplink   <- see link_actors.hpp

#include "actors/type_ids.hpp"
#include "node/agent.hpp"
#include "scheduler/command.hpp"
#include "scheduler/event.hpp"

#include <functional>

namespace consort::actors {

/// Door -> device or compile: a command of the scheduler that concerns it.
struct device_order {
  core::command what;
};
/// Door -> device: the scheduler may not know what is loaded; tell it.
struct inventory_wanted {};
/// Device, compile or telemetry -> door: an event for the scheduler.
struct device_news {
  core::event what;
};
/// Telemetry -> device: one reading.
struct device_sample {
  device_reading reading;
  bool fresh = true; ///< Read just now; else the last one once more.
  bool known = true; ///< Else nothing was read: how the device was before still stands.
};
/// Door -> device: it is described otherwise now.
struct device_described {
  device_spec spec;
};
/// Outside -> door -> telemetry: look at the plugin folders again.
struct reload_wanted {};
/// Outside -> door -> uplink: this node's process stops, and the scheduler is to know.
struct leave_wanted {
  bool gone = false; ///< It is the goodbye; else what runs goes on for a while.
  /// Called by the uplink once the link has the words for it, or none is open; may be empty.
  std::function<void()> said;
};
/// Telemetry -> door: what that changed.
struct plugins_changed {
  std::shared_ptr<const node::inventory_change> what;
};
/// Disk -> device: what a load needs was found, or not.
struct load_prepared {
  instance_id instance;
  std::shared_ptr<const result<node::prepared_load>> found;
};
/// Disk -> device: what a server compiled at its start is in the store.
struct cache_kept {
  artifact_record record;
};
/// Runtime -> device: a load ended.
struct session_opened {
  instance_id instance;
  std::shared_ptr<node::runtime_session> session; ///< Null on failure.
  error failure;
};
/// Runtime -> device: a loaded instance ended by itself.
struct session_died {
  instance_id instance;
  error failure;
};
/// Tool -> compile: progress, per mille.
struct compile_advanced {
  std::uint32_t done_pm = 0;
};
/// Compiler -> compile: the end.
struct compile_done {
  std::shared_ptr<result<artifact_record>> outcome;
};
/// The core's deadline came. Only the latest generation counts: an earlier deadline may have
/// replaced this one.
struct deadline_tick {
  std::uint64_t generation = 0;
};
/// A node whose certificate was revoked had time to link again with another.
struct relink_due {
  node_id node;
  incarnation life;
};
/// Timers.
struct renew_tick {};
struct probe_tick {};
/// Of one plugin, by its place in the inventory.
struct sample_tick {
  std::size_t plugin = 0;
};
struct expire_tick {};

} // namespace consort::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::device_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::inventory_wanted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::device_news)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::device_sample)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::device_described)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::reload_wanted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::leave_wanted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::plugins_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::load_prepared)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::cache_kept)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::session_opened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::session_died)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::compile_advanced)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::compile_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::deadline_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::relink_due)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::renew_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::probe_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::sample_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::expire_tick)
