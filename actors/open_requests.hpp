// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a gateway process remembers of each request that it has open at the scheduler, so that a
/// fresh link, or a fresh scheduler, can be told of it. Plain state, owned by the gateway link and
/// guarded by its lock; at most `most` requests.

#include "gateway/scheduler_port.hpp"

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace consort::actors {

class open_requests {
public:
  using listener_ptr = std::shared_ptr<gateway::request_listener>;

  explicit open_requests(std::size_t most) : most_(most) {}

  /// Returns: false when full; then nothing is kept.
  bool add(const request_meta& meta, listener_ptr listener, time_us now);
  /// Null when it is not open.
  [[nodiscard]] listener_ptr listener_of(const request_id& request) const;
  void forget(const request_id& request) { entries_.erase(request.sequence); }

  void granted(const core::grant_ticket& told);
  void dropped(const attempt_id& attempt);
  void reported(const gateway::gateway_report& happened);

  /// One request_restored for each, in order of their ids. What is left of deadlines and waits is
  /// at least one microsecond: an overdue request is the scheduler's to end.
  [[nodiscard]] std::vector<core::event> restored(time_us now) const;

private:
  struct entry {
    request_meta meta;
    listener_ptr listener;
    time_us since = 0;
    std::uint32_t attempts = 0;
    std::uint32_t emitted_tokens = 0;
    std::optional<ticket> running;
    std::optional<ticket> hedge; ///< Beside it, until either brings a token.
  };
  entry* find(const request_id& request);
  void ended(const attempt_id& attempt);

  std::size_t most_;
  std::map<std::uint64_t, entry> entries_; ///< By sequence; the gateway's own ids only.
};

} // namespace consort::actors
