// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One handler per event. Each checks what it is told, changes rows, and leaves the decisions to
/// the settling pass. Late, repeated and unknown events are ignored. Defined in the module whose
/// state they change.

#include "scheduler/attributes.hpp"
#include "scheduler/modules.hpp"

namespace consort::core {

// nodes.cpp
void on(pass& p, const node_joined& e);
void on(pass& p, const node_lost& e);
void on(pass& p, const lease_renewed& e);
// holds.cpp
void on(pass& p, const drain_changed& e);
// devices.cpp
void on(pass& p, const device_advertised& e);
void on(pass& p, const device_reported& e);
void on(pass& p, const device_lost& e);
// models.cpp
void on(pass& p, const model_declared& e);
void on(pass& p, const model_removed& e);
// admission.cpp
void on(pass& p, const request_submitted& e);
void on(pass& p, const request_cancelled& e);
// gateways.cpp
void on(pass& p, const gateway_lost& e);
void on(pass& p, const request_restored& e);
void on(pass& p, const gateway_restored& e);
// attempts.cpp
void on(pass& p, const attempt_started& e);
void on(pass& p, const attempt_progressed& e);
void on(pass& p, const attempt_finished& e);
void on(pass& p, const attempt_failed& e);
// allocations.cpp
void on(pass& p, const allocation_reserved& e);
void on(pass& p, const allocation_refused& e);
// instances.cpp
void on(pass& p, const replica_loaded& e);
void on(pass& p, const replica_unloaded& e);
void on(pass& p, const replica_failed& e);
void on(pass& p, const replica_found& e);
// artifacts.cpp
void on(pass& p, const artifact_found& e);
void on(pass& p, const artifact_lost& e);
void on(pass& p, const fetch_failed& e);
void on(pass& p, const compile_progressed& e);
void on(pass& p, const compile_finished& e);
void on(pass& p, const compile_failed& e);
void on(pass& p, const compile_requested& e);
// core.cpp
void on(pass& p, const tick& e);

} // namespace consort::core
