// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/fencing.hpp"

namespace consort::sim {

namespace {

std::string named(const ticket& permission) {
  return "attempt " + std::to_string(permission.attempt.number) + " of request "
         + std::to_string(permission.attempt.request.sequence) + " on " + permission.device.value;
}

} // namespace

void fencing_checker::on_event(const core::event& happened, time_us) {
  if (const auto* joined = std::get_if<core::node_joined>(&happened))
    if (leases_[joined->node].life != joined->life)
      leases_[joined->node] = {joined->life, {}, 0};
}

void fencing_checker::on_command(const core::command& wanted, time_us now) {
  if (const auto* grant = std::get_if<core::grant_lease>(&wanted)) {
    leases_[grant->node] = {grant->life, grant->lease_epoch, grant->until};
    return;
  }
  const auto* granted = std::get_if<core::grant_ticket>(&wanted);
  if (!granted)
    return;
  const auto& permission = granted->granted;
  const auto& held = leases_[permission.node];
  if (held.until < now)
    violate(named(permission) + " was granted on an expired lease", now);
  if (permission.node_incarnation != held.life || permission.lease_epoch != held.lease_epoch)
    violate(named(permission) + " was granted under an old incarnation or epoch", now);
}

void fencing_checker::on_ticket_honoured(const ticket& permission, const ticket_reception& how,
                                         time_us now) {
  if (permission.node_incarnation != how.life || permission.lease_epoch != how.lease_epoch)
    violate(named(permission) + " was honoured under another incarnation or epoch", now);
  // By its own clock: a skewed node may be wrong about the time, not about what it believes.
  if (permission.expires_at < how.now)
    violate(named(permission) + " was honoured after its expiry", now);
  if (how.lease_until < how.now)
    violate(named(permission) + " was honoured without a lease", now);
  if (!honoured_.insert(permission.attempt))
    violate(named(permission) + " was honoured twice", now);
}

} // namespace consort::sim
