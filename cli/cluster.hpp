// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A server process: scheduler, gateway and agent in any of the combinations that commands start.
/// `up` and `run` have all three with no link between them; `scheduler` has the first two and
/// listens for the others; `node` and `gateway` dial it. Blocking calls; used from one thread.

#include "cli/embedded.hpp"
#include "scheduler/types.hpp"

#include <memory>
#include <string>
#include <vector>

namespace consort::links {
class credentials;
}

namespace consort::cli {

/// Which parts run in this process. At least one; `node` and `gateway` without `scheduler` join one
/// elsewhere.
struct process_roles {
  bool scheduler = true;
  bool gateway = true;
  bool node = true;
  /// A scheduler takes links of other processes.
  bool listens = false;
};

struct process_config {
  cluster_config cluster;
  link_config links;
  process_roles roles;
  std::shared_ptr<links::credentials> credentials; ///< Null = plain links, loopback only.

  [[nodiscard]] bool joins() const { return !roles.scheduler; }
};

class cluster_process final : public running_cluster {
public:
  /// Probes, starts every part and listens. A joining process returns before it has reached its
  /// scheduler: it dials for ever. Returns: an error that says what to do (port taken, model
  /// damaged, certificate missing ...).
  [[nodiscard]] static result<std::unique_ptr<cluster_process>> start(process_config config);
  ~cluster_process() override;

  /// Empty without a gateway.
  [[nodiscard]] std::string url() const override;
  void stop() override;
  /// Ends running streams at once; for a second signal while stop() drains. Thread-safe.
  void stop_now();
  /// Has the plugin folders looked at again, and reads certificates and revocations: running links
  /// stay unless they are revoked.
  void reload();
  /// Declares what is new or different among the models of the configuration, and removes what is
  /// no longer there; models added at run time are not its affair. Reads files in the background;
  /// one that cannot be described stays as it was, with a line in the log.
  void take_models(std::vector<model_config> models);

  /// Of this process's agent; empty without one.
  [[nodiscard]] std::vector<device_spec> devices() const;
  [[nodiscard]] const std::vector<model_spec>& models() const;
  /// `host:port` where a scheduler takes links; empty without one.
  [[nodiscard]] std::string link_address() const;
  /// `host:port` that others use for this node's data port; empty without one.
  [[nodiscard]] std::string data_address() const;

private:
  struct parts;
  explicit cluster_process(std::unique_ptr<parts> started);
  std::unique_ptr<parts> parts_;
};

} // namespace consort::cli
