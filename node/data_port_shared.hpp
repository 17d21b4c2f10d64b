// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What all connections of one data port have in common: whom they serve, the threads that read the
/// disk, the pace of artifacts, and what is counted. Outlives the port for as long as a connection
/// lives. Thread-safe. Private to the data port.

#include "links/admission.hpp"
#include "links/holds.hpp"
#include "links/turnstile.hpp"
#include "node/data_port.hpp"
#include "node/disk_work.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>

namespace consort::node {

/// Spreads bytes over time: each caller is told when its piece may go. Thread-safe.
class pacer {
public:
  using clock = std::chrono::steady_clock;

  explicit pacer(std::uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}
  [[nodiscard]] clock::time_point reserve(std::size_t bytes);

private:
  const std::uint64_t bytes_per_s_;
  std::mutex mutex_;
  clock::time_point next_;
};

struct data_port_shared {
  data_port_shared(boost::asio::io_context& on, data_port_options with, attempt_service& opens,
                   artifact_store& holds)
      : io(on),
        options(std::move(with)),
        turns(std::make_shared<links::turnstile>(on.get_executor(), options.limits.peers)),
        known(options.limits.peers),
        disk(limits::disk_threads),
        pace(options.limits.artifact_rate),
        attempts_(&opens),
        artifacts_(&holds),
        quiet_(options.limits.peers.log_every) {}

  /// As attempt_service::open(); null once the port has stopped.
  [[nodiscard]] std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                                     std::shared_ptr<attempt_sink> sink);
  /// As artifact_store::hold(); `shutting_down` once the port has stopped.
  [[nodiscard]] result<held_artifact> hold(const digest& content);
  /// Afterwards neither the service nor the store is touched, nor will be.
  void stop();

  void refused(const std::string& code);
  /// A line in the log, one for each address and minute, about what no peer in good order does.
  void complain(const std::string& address, const std::string& code, const std::string& message);
  /// Both.
  void refused(const std::string& address, const std::string& code, const std::string& message) {
    refused(code);
    complain(address, code, message);
  }
  [[nodiscard]] data_port_counters counted() const;

  boost::asio::io_context& io;
  const data_port_options options;
  const std::shared_ptr<links::turnstile> turns; ///< Of handshakes.
  links::holds known;                            ///< Who is held off.
  disk_threads disk;
  pacer pace;
  std::atomic<std::uint64_t> accepted = 0, attempts = 0, frames = 0, overflowed = 0, abandoned = 0,
                             artifact_bytes = 0;
  std::atomic<std::size_t> connections = 0, attempts_open = 0, artifact_streams = 0;

private:
  std::shared_mutex gate_; ///< Shared while one of the two is used.
  attempt_service* attempts_;
  artifact_store* artifacts_;
  mutable std::mutex counting_;
  std::map<std::string, std::uint64_t> refused_;
  links::quiet_log quiet_; ///< Under `counting_`, too.
};

} // namespace consort::node
