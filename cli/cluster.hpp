// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A whole cluster in one process: scheduler, gateway and the agent of this host, with no link
/// between them. `up` runs it in the foreground, `run` for as long as one answer takes. Blocking
/// calls; used from one thread.

#include "cli/embedded.hpp"
#include "scheduler/types.hpp"

#include <memory>
#include <string>
#include <vector>

namespace consort::cli {

class local_cluster final : public running_cluster {
public:
  /// Probes, starts every part and listens. Returns: an error that says what to do (port taken,
  /// model damaged ...).
  [[nodiscard]] static result<std::unique_ptr<local_cluster>> start(const cluster_config& config);
  ~local_cluster() override;

  [[nodiscard]] std::string url() const override;
  void stop() override;
  /// Ends running streams at once; for a second signal while stop() drains. Thread-safe.
  void stop_now();

  [[nodiscard]] const std::vector<device_spec>& devices() const;
  [[nodiscard]] const std::vector<model_spec>& models() const;

private:
  struct parts;
  explicit local_cluster(std::unique_ptr<parts> started);
  std::unique_ptr<parts> parts_;
};

} // namespace consort::cli
