// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A whole cluster inside this process, as `run` needs it. The executable brings the
/// implementation; commands and tests see only this, so they link without actors or engines.

#include "cli/config.hpp"
#include "scheduler/result.hpp"

#include <functional>
#include <memory>
#include <string>

namespace consort::cli {

/// A running cluster. Destroying it stops it.
class running_cluster {
public:
  virtual ~running_cluster() = default;
  /// Base URL of its HTTP server, e.g. `http://127.0.0.1:41234`.
  [[nodiscard]] virtual std::string url() const = 0;
  /// Drains and stops within 5 s. Idempotent.
  virtual void stop() = 0;
};

/// Starts a cluster, blocking until it answers HTTP. Listen port 0 means any free one.
using cluster_starter
    = std::function<result<std::unique_ptr<running_cluster>>(const cluster_config&)>;

} // namespace consort::cli
