// SPDX-License-Identifier: Apache-2.0
#include "node/ticket_gate.hpp"

#include "messages/ticket_seal.hpp"
#include "node/admission_limits.hpp"

#include <algorithm>

namespace consort::node {

namespace {

error refusal(recovery action, std::string code, std::string message) {
  return error{action, std::move(code), std::move(message)};
}

} // namespace

void ticket_gate::set_key(std::string key) {
  const std::lock_guard lock(mutex_);
  if (key == key_)
    return;
  key_ = std::move(key);
  life_ = {};
  epoch_ = {};
  lease_until_ = 0;
  used_.clear();
  used_by_expiry_.clear();
}

void ticket_gate::set_lease(incarnation life, epoch current, time_us until) {
  const std::lock_guard lock(mutex_);
  if (life == life_ && current < epoch_)
    return;
  const bool same = life == life_ && current == epoch_;
  lease_until_ = same ? std::max(lease_until_, until) : until;
  life_ = life;
  epoch_ = current;
}

result<done> ticket_gate::admit(const ticket& permission, time_us now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  if (auto admitted = check(permission, now); !admitted)
    return admitted;
  used_.insert(permission.attempt);
  used_by_expiry_.emplace(permission.expires_at, permission.attempt);
  return done{};
}

result<done> ticket_gate::check(const ticket& permission, time_us now) const {
  using enum recovery;
  if (key_.empty())
    return refusal(retry_elsewhere, "ticket_no_key", "this node has not joined a scheduler yet");
  // The seal first: nothing else in an unsealed ticket is worth an answer.
  if (!messages::ticket_sealed(permission, key_))
    return refusal(refuse, "ticket_forged", "the ticket's seal does not match this cluster's key");
  if (permission.node_incarnation != life_)
    return refusal(retry_elsewhere, "ticket_stale_incarnation",
                   "the ticket was granted to another life of this node");
  if (permission.lease_epoch != epoch_)
    return refusal(retry_elsewhere, "ticket_stale_epoch",
                   "the ticket was granted under lease epoch "
                       + std::to_string(permission.lease_epoch.value) + ", now it is "
                       + std::to_string(epoch_.value));
  if (now > lease_until_)
    return refusal(retry_elsewhere, "lease_expired", "this node's lease has run out");
  if (now > permission.expires_at)
    return refusal(retry_elsewhere, "ticket_expired", "the ticket was opened too late");
  if (used_.contains(permission.attempt))
    return refusal(refuse, "ticket_used", "the ticket was opened before");
  if (used_.size() >= limits::used_tickets_max)
    return refusal(retry_later, "ticket_memory_full",
                   "this node remembers as many used tickets as it may");
  return done{};
}

void ticket_gate::forget_expired(time_us now) {
  while (!used_by_expiry_.empty() && used_by_expiry_.begin()->first < now) {
    used_.erase(used_by_expiry_.begin()->second);
    used_by_expiry_.erase(used_by_expiry_.begin());
  }
}

} // namespace consort::node
