// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What runs models on a device: a runtime opens sessions (one loaded instance each), a session
/// runs attempts. Shared by every kind of runtime (c-abi host process, model server). Thread-safe;
/// callbacks arrive on any thread, must not block, and may come before the call that caused them
/// returns.

#include "messages/attempt_service.hpp"
#include "node/lora.hpp"
#include "node/rank_place.hpp"

#include <functional>
#include <memory>
#include <string>

namespace consort::node {

/// What to load. Paths are local and verified by the caller (digest checked by the store).
struct session_request {
  instance_id instance;
  device_spec device;
  model_name model;
  model_variant variant;
  std::string path;                 ///< Weights or artifact payload.
  std::uint32_t context_tokens = 0; ///< 0 = the model's own.
  rank_place place = {};            ///< Of an instance over several devices.
  std::uint64_t memory_bytes = 0;   ///< Of its share of the device; 0 = all of it.
  std::string weights_path = {};    ///< Beside an engine of an architecture; empty = none needed.
  std::vector<local_adapter> adapters = {}; ///< LoRA, loaded with it.
  std::string cache_path = {};              ///< Folder for what a server compiles at its start.
};

/// What a session can do and has done; nullopt and empty = unknown.
struct session_stats {
  capacity_vector capacity;
  std::uint32_t sequences_running = 0;
  std::uint64_t tokens_generated_total = 0;
  std::uint64_t steps_total = 0;
  std::uint64_t cancelled_total = 0;
  std::uint64_t cost_micros_total = 0; ///< What was paid per token, 1e-6 of the currency unit.
  /// Requests that run or wait by the engine's own gauges, ours among them; unknown where it has
  /// none. As of `engine_told_us` on the steady clock.
  std::optional<std::uint64_t> engine_requests = std::nullopt;
  std::int64_t engine_told_us = 0;
  std::string engine_lacks = {}; ///< Gauges that its plugin names and it does not have, in words.
  /// Of a request's stages at servers of their own (encode, prefill): answers that came without
  /// one, why the last one did (empty once the stage did its part again), and whether one is given
  /// up.
  std::uint64_t stages_missed_total = 0;
  std::string stage_missed = {};
  bool stage_given_up = false;
};

/// One loaded instance. Destroying it unloads: attempts still running end with `attempt_aborted`.
class runtime_session {
public:
  virtual ~runtime_session() = default;
  /// Starts an attempt; every outcome arrives through the sink.
  virtual void submit(const attempt_id& attempt, attempt_body body,
                      std::shared_ptr<attempt_sink> sink)
      = 0;
  /// Stops an attempt; its terminal event follows. Unknown attempts are ignored.
  virtual void cancel(const attempt_id& attempt) = 0;
  /// Latest counters (asked for on `stats_every`, not on each call).
  [[nodiscard]] virtual session_stats stats() const = 0;
  [[nodiscard]] virtual runtime_capabilities capabilities() const = 0;
};

class runtime {
public:
  virtual ~runtime() = default;
  /// Loads; `opened` is called once, with the session or why not, within the runtime's start
  /// timeout. `died` is called at most once, later, if the session ends by itself (host crash); its
  /// attempts were aborted before.
  virtual void open(const session_request& wanted,
                    std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
                    std::function<void(error)> died)
      = 0;
  /// Gives up on a load whose `opened` was not called yet; it is called with an error. Others are
  /// left alone. Runtimes that load within seconds need not.
  virtual void abandon(instance_id) {}
  /// Most that is kept of what its servers compile at their start; 0 = they keep nothing.
  [[nodiscard]] virtual std::uint64_t cache_bytes_max() const { return 0; }
};

} // namespace consort::node
