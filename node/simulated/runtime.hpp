// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Simulated devices in real time as a runtime: keeps their clock on `io`, and brings what comes
/// from other threads to them in order. Everything that it loads says that it is simulated, in
/// telemetry, in logs and in its answers. Thread-safe; handlers run on threads of `io`, one at a
/// time. Owned by whoever starts the node, and shared with its plugin and sessions.

#include "node/simulated/devices.hpp"

#include <boost/asio/io_context.hpp>

namespace consort::node {

class simulated_runtime final : public runtime {
public:
  /// `io` must outlive it.
  [[nodiscard]] static std::shared_ptr<simulated_runtime> make(boost::asio::io_context& io,
                                                               simulated_settings settings);
  ~simulated_runtime() override;
  simulated_runtime(const simulated_runtime&) = delete;
  simulated_runtime& operator=(const simulated_runtime&) = delete;

  void open(const session_request& wanted,
            std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
            std::function<void(error)> died) override;
  void abandon(instance_id instance) override;

  [[nodiscard]] std::vector<device_spec> specs() const;
  [[nodiscard]] std::vector<build_profile> toolchains() const;
  [[nodiscard]] std::map<std::string, device_reading> read();
  /// Takes up the fault menu.
  void trouble(simulated_troubles wanted);
  [[nodiscard]] std::unique_ptr<running_compile> build(const compile_request& wanted,
                                                       std::function<void(std::uint32_t)> progress,
                                                       simulated_devices::build_finished finished);

private:
  class session;
  class running_build;
  struct shell;
  simulated_runtime(boost::asio::io_context& io, simulated_settings settings);

  const std::shared_ptr<shell> shell_; ///< Lives as long as a timer or a session needs it.
};

/// The plugin that claims them. A node that has it has no other: a rehearsal touches no hardware.
[[nodiscard]] std::unique_ptr<plugin>
make_simulated_plugin(std::shared_ptr<simulated_runtime> devices);

} // namespace consort::node
