// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Fetches weights from the hub or the web into this node's store, where they lie under their
/// SHA-256 like any artifact: what the cluster needs once, one node fetches, and the others pull
/// from it. Disk headroom first; what is half there stays in `<data>/partial` and is gone on with
/// by ranges, also by the next process; nothing is believed before it was hashed. The hub's cache
/// on this host is looked at first, and gets what was fetched. A try that brings nothing ends the
/// fetch, so that others have its place until the scheduler orders it again; what is ordered sooner
/// than its server asked for fails as it did before, and nobody is asked.
///
/// Each fetch has a thread of its own, which ends soon after what is returned for it went.
/// Thread-safe.

#include "node/artifact_store.hpp"
#include "node/compiler.hpp"
#include "node/weights/hub_cache.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace consort::node {

/// Sources that their servers asked not to be asked for again for a while, which is at most
/// limits::weights_retry_after_us_max, each with the error that said so. Thread-safe.
class sources_left_alone {
public:
  struct found {
    error why;
    duration_us left_us = 0;
  };
  void note(const std::string& source, duration_us span, error why);
  /// Returns: nothing when it may be asked for.
  [[nodiscard]] std::optional<found> find(const std::string& source);

private:
  using clock = std::chrono::steady_clock;
  struct rest {
    clock::time_point until;
    error why;
  };
  std::mutex mutex_;
  std::map<std::string, rest> resting_;
};

class weight_downloads {
public:
  /// `store` outlives it and its fetches. What lies in `partial` for longer than
  /// limits::partial_age_us_max is removed.
  weight_downloads(artifact_store& store, const std::string& data_path, hub_settings hub);
  /// Waits for fetches, which nobody may want any more.
  ~weight_downloads();
  weight_downloads(const weight_downloads&) = delete;
  weight_downloads& operator=(const weight_downloads&) = delete;

  /// Fetches what `order.source` names; `order.key` is what it is stored under. `finished` is
  /// called once, on the fetch's thread, unless what is returned goes first, which ends it; with
  /// errors of web_exchange() and judge_status(), and `weights_corrupt`, `weights_offline`,
  /// `weights_partial` (another process fetches them), `disk_full`, `disk_error`. Never null.
  [[nodiscard]] std::unique_ptr<running_compile>
  start(const build_order& order, std::function<void(std::uint32_t)> progress,
        std::function<void(result<artifact_record>)> finished);

private:
  artifact_store& store_;
  const std::string partial_path_;
  const hub_settings hub_;
  sources_left_alone left_alone_;
  std::mutex threads_mutex_;
  /// With whether it is at its end, and only waits to be joined.
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::thread>> threads_;
};

} // namespace consort::node
