// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What every handler of one server shares. Owned by the server's state; outlives all connections.
/// Members are thread-safe or constant.

#include "gateway/event_hub.hpp"
#include "gateway/http.hpp"
#include "gateway/metrics.hpp"
#include "gateway/server.hpp"

#include <boost/asio/thread_pool.hpp>

#include <atomic>

namespace consort::gateway {

struct gateway_context {
  gateway_context(server_config with, scheduler_port& to, attempt_resolver by);

  const server_config config;
  scheduler_port& port;
  const attempt_resolver resolve;
  const std::int64_t started_unix_s;
  metrics figures;
  /// Shared with the port's subscription, which may outlive the server.
  const std::shared_ptr<event_hub> events;
  std::atomic<std::uint64_t> sequence = 0; ///< Of request ids.
  std::atomic<std::size_t> in_flight = 0;  ///< Inferences.
  std::atomic<std::size_t> backlog = 0;    ///< Bytes that clients have not taken yet.
  std::atomic<bool> stopping = false;
  std::atomic<bool> describing = false; ///< A model's files are being read.
  /// Runs config.describe. Last: joined before anything else goes.
  boost::asio::thread_pool files{1};
};

/// The scheduler's snapshot, or why there is none within the port's timeout.
task<result<core::snapshot>> take_snapshot(gateway_context& context, exchange& out);

} // namespace consort::gateway
