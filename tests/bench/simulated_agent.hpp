// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A node agent with no host below it: it speaks the whole control protocol over a real link, so
/// that a real scheduler can be measured with more nodes than one machine has. Its devices are
/// marked as simulated. Everything runs on the one thread of the io_context.

#include "links/connector.hpp"
#include "messages/codec.hpp"

#include <boost/asio/steady_timer.hpp>

namespace consort::bench {

struct agent_settings {
  std::string name;
  std::string cluster = "default";
  std::string join_token;
  std::string scheduler_host;
  std::uint16_t scheduler_port = 0;
  std::shared_ptr<const links::credentials> credentials; ///< Null = plain loopback.
  unsigned devices = 8;
  bool serves = false;      ///< Devices run GGUF models: loads are answered as done.
  std::string data_address; ///< Where attempts are opened, when it serves.
  std::uint64_t seed = 1;   ///< Of incarnation and waits; different for every agent.
};

/// What a serving agent's owner hears; empty ones are skipped.
struct agent_hooks {
  std::function<void(const messages::hello_answer&)> on_welcome;
  std::function<void(const core::grant_lease&)> on_lease;
};

class simulated_agent {
public:
  simulated_agent(boost::asio::io_context& io, agent_settings settings, agent_hooks hooks = {});
  simulated_agent(const simulated_agent&) = delete;
  simulated_agent& operator=(const simulated_agent&) = delete;

  /// Dials, and goes on dialling. Returns: an address or certificate that cannot be used.
  [[nodiscard]] result<done> start();
  /// Requires: the io_context runs, or nothing was started.
  void stop();

  [[nodiscard]] bool welcomed() const { return welcomed_; }
  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }
  /// Sends one device's telemetry, the next device's every time. Returns: false while not welcome.
  bool report_device();

private:
  void linked(std::shared_ptr<links::link> established);
  void receive(const messages::frame& incoming);
  void say_hello();
  void advertise();
  void renew();
  void say(const core::event& happened);
  [[nodiscard]] device_spec device(unsigned at) const;
  [[nodiscard]] capacity_vector capacity() const;

  void obey(const core::grant_lease& lease);
  void obey(const core::fence_node& fence);
  void obey(const core::reserve_allocation& reserve);
  void obey(const core::load_replica& load);
  void obey(const core::unload_replica& unload);
  template <class Other>
  void obey(const Other&) {}

  boost::asio::io_context& io_;
  agent_settings settings_;
  agent_hooks hooks_;
  messages::envelope own_;
  boost::asio::steady_timer renewal_;
  std::unique_ptr<links::connector> connector_;
  std::shared_ptr<links::link> link_;
  bool welcomed_ = false;
  bool stopped_ = false;
  std::uint64_t refusals_ = 0;
  unsigned next_device_ = 0;
};

} // namespace consort::bench
