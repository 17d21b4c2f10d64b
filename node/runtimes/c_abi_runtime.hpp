// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The runtime behind the C ABI (node/plugin_abi.h): every session is a host process of its own
/// that loads the vendor's shared object. Owned by the plugin that brings the object.
///
/// Invariants: an attempt gets exactly one terminal event on every path; a host that crashes, hangs
/// or breaks the protocol is killed, its attempts end with `runtime_died` (retry elsewhere, the
/// device's fault), then `died` is called once; every host is reaped. Sinks are called from threads
/// that run the io_context, one at a time per session. Everything here is thread-safe.

#include "node/host/limits.hpp"
#include "node/runtime.hpp"

#include <boost/asio/io_context.hpp>

#include <mutex>
#include <vector>

namespace consort::node {

/// Bounds of a session; the defaults are the product's, tests lower them.
struct c_abi_limits {
  duration_us start_us = limits::host_start_us;
  duration_us cancel_us = limits::host_cancel_us;
  duration_us close_us = limits::host_close_us;
  duration_us stats_us = limits::host_stats_us;
  duration_us silent_us = limits::host_silent_us;
  std::size_t unsent_bytes_max = limits::host_unsent_bytes_max;
  std::size_t attempts_max = limits::attempts_per_session_max;
  std::uint64_t events_per_attempt_max = limits::events_per_attempt_max;
};

/// How to reach the vendor's object. Comes from the plugin's own folder, never from the network.
struct c_abi_options {
  std::string executable;            ///< The consort binary; run as `EXE host --fd 3 --library L`.
  std::string library;               ///< Path of the vendor's shared object.
  std::string config_json = "{}";    ///< Object merged into what `open` gets; our keys win.
  std::vector<std::string> env;      ///< `NAME=value` beside the agent's own environment.
  std::uint64_t memory_bytes = 0;    ///< Address-space limit of a host; 0 = none.
  std::uint32_t threads = 0;         ///< Given to the object; 0 = its own choice.
  std::uint32_t sequences = 0;       ///< Most at once; 0 = what the device declares.
  std::string work_path;             ///< Current directory of a host; empty = the agent's.
  runtime_capabilities capabilities; ///< As the plugin declares them.
  c_abi_limits bounds;
  std::string vendor_library; ///< Named when a host dies; empty = `library`, else that loads it.
};

class host_link;

class c_abi_runtime final : public runtime {
public:
  /// `io` must outlive the runtime.
  c_abi_runtime(boost::asio::io_context& io, c_abi_options options);
  /// Kills and reaps every host that is left, with or without a running io_context. Attempts still
  /// running end through the io_context as after a crash.
  ~c_abi_runtime() override;
  c_abi_runtime(const c_abi_runtime&) = delete;
  c_abi_runtime& operator=(const c_abi_runtime&) = delete;

  void open(const session_request& wanted,
            std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
            std::function<void(error)> died) override;

private:
  boost::asio::io_context& io_;
  const std::shared_ptr<const c_abi_options> options_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<host_link>> links_;
};

} // namespace consort::node
