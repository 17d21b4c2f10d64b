// SPDX-License-Identifier: Apache-2.0
// Core events to and from event.capnp. One pair of functions per event that has a struct of its
// own on the wire; the two switches at the end name every event once.
#include "messages/wire_messages.hpp"

namespace consort::messages {

template <>
inline constexpr core::hold_kind last_enumerator<core::hold_kind> = core::hold_kind::cordon;

namespace {

/// Writes one event into the union.
struct event_writer {
  wire::Event::Builder to;
  outgoing& out;

  void operator()(const core::node_joined& from) {
    auto joined = to.initNodeJoined();
    joined.setNode(out.name(from.node.value, "node_joined.node"));
    joined.setLife(from.life.value);
    joined.setDataAddress(out.label(from.data_address, "node_joined.data_address"));
    write_profiles(out, from.toolchains, "node_joined.toolchains",
                   [&](unsigned size) { return joined.initToolchains(size); });
    write_attributes(out, from.attributes, "node_joined.attributes",
                     [&](unsigned size) { return joined.initAttributes(size); });
    joined.setReturning(from.returning);
  }

  void operator()(const core::node_lost& from) {
    auto lost = to.initNodeLost();
    lost.setNode(out.name(from.node.value, "node_lost.node"));
    lost.setLife(from.life.value);
    lost.setProcessEnded(from.process_ended);
    lost.setReason(out.sentence(from.reason));
    lost.setForGood(from.for_good);
    lost.setLeaving(from.leaving);
  }

  void operator()(const core::lease_renewed& from) {
    auto renewed = to.initLeaseRenewed();
    renewed.setNode(out.name(from.node.value, "lease_renewed.node"));
    renewed.setLife(from.life.value);
  }

  void operator()(const core::drain_changed& from) {
    auto changed = to.initDrainChanged();
    changed.setTarget(out.name(from.target, "drain_changed.target"));
    changed.setDraining(from.draining);
    changed.setMoveAfterUs(out.duration(from.move_after_us, "drain_changed.move_after_us"));
    changed.setReason(out.sentence(from.reason));
    changed.setKind(out.word<wire::HoldKind>(from.kind, "drain_changed.kind"));
  }

  void operator()(const core::device_advertised& from) {
    auto advertised = to.initDeviceAdvertised();
    write(advertised.initSpec(), from.spec, out);
    advertised.setLife(from.life.value);
  }

  void operator()(const core::device_reported& from) {
    auto reported = to.initDeviceReported();
    reported.setDevice(out.name(from.device.value, "device_reported.device"));
    reported.setLife(from.life.value);
    write(reported.initReading(), from.reading, out);
    write_list(
        out, from.running, limits::attempts_max, "device_reported.running",
        [&](unsigned size) { return reported.initRunning(size); },
        [](auto attempt, const attempt_id& id) { write(attempt, id); });
    write_list(
        out, from.endpoints, limits::endpoints_max, "device_reported.endpoints",
        [&](unsigned size) { return reported.initEndpoints(size); },
        [&](auto endpoint, const auto& value) {
          endpoint.setInstance(value.first.value);
          write(endpoint.initCapacity(), value.second, out);
        });
  }

  void operator()(const core::device_lost& from) {
    auto lost = to.initDeviceLost();
    lost.setDevice(out.name(from.device.value, "device_lost.device"));
    lost.setLife(from.life.value);
    lost.setReason(out.sentence(from.reason));
  }

  void operator()(const core::model_declared& from) {
    write(to.initModelDeclared(), from.spec, out);
  }
  void operator()(const core::model_removed& from) {
    to.setModelRemoved(out.label(from.name.value, "model_removed.name"));
  }
  void operator()(const core::request_submitted& from) {
    write(to.initRequestSubmitted(), from.meta, out);
  }

  void operator()(const core::request_cancelled& from) {
    auto cancelled = to.initRequestCancelled();
    write(cancelled.initRequest(), from.request);
    cancelled.setReason(out.sentence(from.reason));
  }

  void operator()(const core::attempt_started& from) {
    write(to.initAttemptStarted(), from.attempt);
  }

  void operator()(const core::attempt_progressed& from) {
    auto progressed = to.initAttemptProgressed();
    write(progressed.initAttempt(), from.attempt);
    progressed.setCompletionTokens(from.completion_tokens);
  }

  void operator()(const core::attempt_finished& from) {
    auto finished = to.initAttemptFinished();
    write(finished.initAttempt(), from.attempt);
    write(finished.initMeasured(), from.measured, out);
  }

  void operator()(const core::attempt_failed& from) {
    auto failed = to.initAttemptFailed();
    write(failed.initAttempt(), from.attempt);
    write(failed.initFailure(), from.failure, out);
    failed.setEmittedTokens(from.emitted_tokens);
    failed.setDeviceFault(from.device_fault);
    failed.setRetryAfterUs(out.duration(from.retry_after_us, "attempt_failed.retry_after_us"));
    if (from.cost_micros)
      failed.getCostMicros().setCost(*from.cost_micros);
  }

  void operator()(const core::gateway_lost& from) { to.setGatewayLost(from.gateway.value); }

  void operator()(const core::allocation_reserved& from) {
    auto reserved = to.initAllocationReserved();
    reserved.setAllocation(from.allocation.value);
    reserved.setNode(out.name(from.node.value, "allocation_reserved.node"));
    reserved.setLife(from.life.value);
    reserved.setFence(from.fence.value);
    reserved.setRendezvous(out.label(from.rendezvous, "allocation_reserved.rendezvous"));
  }

  void operator()(const core::allocation_refused& from) {
    auto refused = to.initAllocationRefused();
    refused.setAllocation(from.allocation.value);
    refused.setNode(out.name(from.node.value, "allocation_refused.node"));
    refused.setLife(from.life.value);
    refused.setFence(from.fence.value);
    write(refused.initRefusal(), from.reason, out);
  }

  void operator()(const core::replica_loaded& from) {
    auto loaded = to.initReplicaLoaded();
    loaded.setInstance(from.instance.value);
    loaded.setLife(from.life.value);
    write_list(
        out, from.endpoints, limits::endpoints_max, "replica_loaded.endpoints",
        [&](unsigned size) { return loaded.initEndpoints(size); },
        [&](auto endpoint, const capacity_vector& value) { write(endpoint, value, out); });
    write(loaded.initRuntime(), from.runtime, out);
    loaded.setLoadUs(out.duration(from.load_us, "replica_loaded.load_us"));
  }

  void operator()(const core::replica_unloaded& from) {
    auto unloaded = to.initReplicaUnloaded();
    unloaded.setInstance(from.instance.value);
    unloaded.setLife(from.life.value);
  }

  void operator()(const core::replica_failed& from) {
    auto failed = to.initReplicaFailed();
    failed.setInstance(from.instance.value);
    failed.setLife(from.life.value);
    write(failed.initFailure(), from.failure, out);
  }

  void operator()(const core::artifact_found& from) {
    auto found = to.initArtifactFound();
    write(found.initRecord(), from.record, out);
    found.setLife(from.life.value);
  }

  void operator()(const core::artifact_lost& from) {
    auto lost = to.initArtifactLost();
    write(lost.initKey(), from.key, out);
    lost.setContent(out.digest(from.content, "artifact_lost.content"));
    lost.setNode(out.name(from.node.value, "artifact_lost.node"));
    lost.setLife(from.life.value);
    lost.setReason(out.sentence(from.reason));
  }

  void operator()(const core::compile_progressed& from) {
    auto progressed = to.initCompileProgressed();
    progressed.setCompile(from.compile.value);
    progressed.setLife(from.life.value);
    progressed.setDonePm(out.number<std::uint32_t>(from.done_pm, 0, limits::per_mille_max,
                                                   "compile_progressed.done_pm"));
  }

  void operator()(const core::compile_finished& from) {
    auto finished = to.initCompileFinished();
    finished.setCompile(from.compile.value);
    finished.setLife(from.life.value);
    write(finished.initRecord(), from.record, out);
  }

  void operator()(const core::compile_failed& from) {
    auto failed = to.initCompileFailed();
    failed.setCompile(from.compile.value);
    failed.setLife(from.life.value);
    write(failed.initFailure(), from.failure, out);
    failed.setRetryAfterUs(out.duration(from.retry_after_us, "compile_failed.retry_after_us"));
  }

  void operator()(const core::compile_requested& from) {
    auto requested = to.initCompileRequested();
    requested.setModel(out.label(from.model.value, "compile_requested.model"));
    requested.setSelector(out.label(from.selector, "compile_requested.selector"));
  }

  void operator()(const core::tick&) { to.setTick(); }

  void operator()(const core::request_restored& from) {
    auto restored = to.initRequestRestored();
    write(restored.initMeta(), from.meta, out);
    restored.setAttempts(from.attempts);
    restored.setEmittedTokens(from.emitted_tokens);
    if (from.running)
      write(restored.initRunning(), *from.running, out);
  }

  void operator()(const core::gateway_restored& from) { to.setGatewayRestored(from.gateway.value); }

  void operator()(const core::replica_found& from) {
    auto found = to.initReplicaFound();
    found.setInstance(from.instance.value);
    found.setLife(from.life.value);
    write(found.initGrant(), from.grant, out);
    found.setModel(out.label(from.model.value, "replica_found.model"));
    found.setWeights(out.digest(from.weights, "replica_found.weights"));
    found.setArtifact(out.digest(from.artifact, "replica_found.artifact"));
    write_list(
        out, from.endpoints, limits::endpoints_max, "replica_found.endpoints",
        [&](unsigned size) { return found.initEndpoints(size); },
        [&](auto endpoint, const capacity_vector& value) { write(endpoint, value, out); });
    write(found.initRuntime(), from.runtime, out);
    found.setNode(out.label(from.node.value, "replica_found.node"));
    write_adapters(out, from.adapters, "replica_found.adapters",
                   [&](unsigned size) { return found.initAdapters(size); });
  }

  void operator()(const core::fetch_failed& from) {
    auto failed = to.initFetchFailed();
    write(failed.initKey(), from.key, out);
    failed.setContent(out.digest(from.content, "fetch_failed.content"));
    failed.setNode(out.name(from.node.value, "fetch_failed.node"));
    failed.setLife(from.life.value);
    write(failed.initFailure(), from.failure, out);
  }
};

core::node_joined take(wire::NodeJoined::Reader from, incoming& in) {
  core::node_joined to;
  to.node.value = in.name(from.getNode(), "node_joined.node");
  to.life = incarnation(from.getLife());
  to.data_address = in.label(from.getDataAddress(), "node_joined.data_address");
  read_profiles(in, from.getToolchains(), to.toolchains, "node_joined.toolchains");
  read_map(from.getAttributes(), to.attributes, "node_joined.attributes", in);
  to.returning = from.getReturning();
  return to;
}

core::node_lost take(wire::NodeLost::Reader from, incoming& in) {
  core::node_lost to;
  to.node.value = in.name(from.getNode(), "node_lost.node");
  to.life = incarnation(from.getLife());
  to.process_ended = from.getProcessEnded();
  to.reason = in.text(from.getReason(), "node_lost.reason");
  to.for_good = from.getForGood();
  to.leaving = from.getLeaving();
  return to;
}

core::lease_renewed take(wire::NodeLife::Reader from, incoming& in) {
  core::lease_renewed to;
  to.node.value = in.name(from.getNode(), "lease_renewed.node");
  to.life = incarnation(from.getLife());
  return to;
}

core::drain_changed take(wire::DrainChanged::Reader from, incoming& in) {
  core::drain_changed to;
  to.target = in.name(from.getTarget(), "drain_changed.target");
  to.draining = from.getDraining();
  to.reason = in.text(from.getReason(), "drain_changed.reason");
  to.move_after_us = in.duration(from.getMoveAfterUs(), "drain_changed.move_after_us");
  to.kind = in.word<core::hold_kind>(from.getKind(), "drain_changed.kind");
  return to;
}

core::device_advertised take(wire::DeviceAdvertised::Reader from, incoming& in) {
  core::device_advertised to;
  read(from.getSpec(), to.spec, in);
  to.life = incarnation(from.getLife());
  return to;
}

core::device_reported take(wire::DeviceReported::Reader from, incoming& in) {
  core::device_reported to;
  to.device.value = in.name(from.getDevice(), "device_reported.device");
  to.life = incarnation(from.getLife());
  read(from.getReading(), to.reading, in);
  read_list(in, from.getRunning(), to.running, limits::attempts_max, "device_reported.running",
            [](auto attempt, attempt_id& id) { read(attempt, id); });
  read_list(in, from.getEndpoints(), to.endpoints, limits::endpoints_max,
            "device_reported.endpoints", [&](auto endpoint, auto& value) {
              value.first = instance_id(endpoint.getInstance());
              read(endpoint.getCapacity(), value.second, in);
            });
  return to;
}

core::device_lost take(wire::DeviceLost::Reader from, incoming& in) {
  core::device_lost to;
  to.device.value = in.name(from.getDevice(), "device_lost.device");
  to.life = incarnation(from.getLife());
  to.reason = in.text(from.getReason(), "device_lost.reason");
  return to;
}

core::model_declared take(wire::ModelSpec::Reader from, incoming& in) {
  core::model_declared to;
  read(from, to.spec, in);
  return to;
}

core::request_submitted take(wire::RequestMeta::Reader from, incoming& in) {
  core::request_submitted to;
  read(from, to.meta, in);
  return to;
}

core::request_cancelled take(wire::RequestCancelled::Reader from, incoming& in) {
  core::request_cancelled to;
  read(from.getRequest(), to.request);
  to.reason = in.text(from.getReason(), "request_cancelled.reason");
  return to;
}

core::attempt_started take(wire::AttemptId::Reader from, incoming&) {
  core::attempt_started to;
  read(from, to.attempt);
  return to;
}

core::attempt_progressed take(wire::AttemptProgressed::Reader from, incoming&) {
  core::attempt_progressed to;
  read(from.getAttempt(), to.attempt);
  to.completion_tokens = from.getCompletionTokens();
  return to;
}

core::attempt_finished take(wire::AttemptFinished::Reader from, incoming& in) {
  core::attempt_finished to;
  read(from.getAttempt(), to.attempt);
  read(from.getMeasured(), to.measured, in);
  return to;
}

core::attempt_failed take(wire::AttemptFailed::Reader from, incoming& in) {
  core::attempt_failed to;
  read(from.getAttempt(), to.attempt);
  read(from.getFailure(), to.failure, in);
  to.emitted_tokens = from.getEmittedTokens();
  to.device_fault = from.getDeviceFault();
  to.retry_after_us = in.duration(from.getRetryAfterUs(), "attempt_failed.retry_after_us");
  if (from.getCostMicros().isCost())
    to.cost_micros = from.getCostMicros().getCost();
  return to;
}

core::allocation_reserved take_reserved(wire::AllocationAnswer::Reader from, incoming& in) {
  core::allocation_reserved to;
  to.allocation = allocation_id(from.getAllocation());
  to.node.value = in.name(from.getNode(), "allocation_reserved.node");
  to.life = incarnation(from.getLife());
  to.fence = epoch(from.getFence());
  to.rendezvous = in.label(from.getRendezvous(), "allocation_reserved.rendezvous");
  return to;
}

core::allocation_refused take_refused(wire::AllocationAnswer::Reader from, incoming& in) {
  core::allocation_refused to;
  to.allocation = allocation_id(from.getAllocation());
  to.node.value = in.name(from.getNode(), "allocation_refused.node");
  to.life = incarnation(from.getLife());
  to.fence = epoch(from.getFence());
  read(from.getRefusal(), to.reason, in);
  return to;
}

core::replica_loaded take(wire::ReplicaLoaded::Reader from, incoming& in) {
  core::replica_loaded to;
  to.instance = instance_id(from.getInstance());
  to.life = incarnation(from.getLife());
  read_list(in, from.getEndpoints(), to.endpoints, limits::endpoints_max,
            "replica_loaded.endpoints",
            [&](auto endpoint, capacity_vector& value) { read(endpoint, value, in); });
  read(from.getRuntime(), to.runtime, in);
  to.load_us = in.duration(from.getLoadUs(), "replica_loaded.load_us");
  return to;
}

core::replica_failed take_failed(wire::ReplicaEnded::Reader from, incoming& in) {
  core::replica_failed to;
  to.instance = instance_id(from.getInstance());
  to.life = incarnation(from.getLife());
  read(from.getFailure(), to.failure, in);
  return to;
}

core::artifact_found take(wire::ArtifactFound::Reader from, incoming& in) {
  core::artifact_found to;
  read(from.getRecord(), to.record, in);
  to.life = incarnation(from.getLife());
  return to;
}

core::artifact_lost take(wire::ArtifactLost::Reader from, incoming& in) {
  core::artifact_lost to;
  read(from.getKey(), to.key, in);
  to.content.value = in.digest(from.getContent(), "artifact_lost.content");
  to.node.value = in.name(from.getNode(), "artifact_lost.node");
  to.life = incarnation(from.getLife());
  to.reason = in.text(from.getReason(), "artifact_lost.reason");
  return to;
}

core::compile_progressed take(wire::CompileProgressed::Reader from, incoming& in) {
  core::compile_progressed to;
  to.compile = compile_id(from.getCompile());
  to.life = incarnation(from.getLife());
  to.done_pm = in.number<std::uint32_t>(from.getDonePm(), 0, limits::per_mille_max,
                                        "compile_progressed.done_pm");
  return to;
}

core::compile_finished take(wire::CompileFinished::Reader from, incoming& in) {
  core::compile_finished to;
  to.compile = compile_id(from.getCompile());
  to.life = incarnation(from.getLife());
  read(from.getRecord(), to.record, in);
  return to;
}

core::compile_failed take(wire::CompileFailed::Reader from, incoming& in) {
  core::compile_failed to;
  to.compile = compile_id(from.getCompile());
  to.life = incarnation(from.getLife());
  read(from.getFailure(), to.failure, in);
  to.retry_after_us = in.duration(from.getRetryAfterUs(), "compile_failed.retry_after_us");
  return to;
}

core::request_restored take(wire::RequestRestored::Reader from, incoming& in) {
  core::request_restored to;
  read(from.getMeta(), to.meta, in);
  to.attempts = from.getAttempts();
  to.emitted_tokens = from.getEmittedTokens();
  if (from.hasRunning())
    read(from.getRunning(), to.running.emplace(), in);
  return to;
}

core::replica_found take(wire::ReplicaFound::Reader from, incoming& in) {
  core::replica_found to;
  to.instance = instance_id(from.getInstance());
  to.life = incarnation(from.getLife());
  read(from.getGrant(), to.grant, in);
  to.model.value = in.label(from.getModel(), "replica_found.model");
  to.weights.value = in.digest(from.getWeights(), "replica_found.weights");
  to.artifact.value = in.digest(from.getArtifact(), "replica_found.artifact");
  read_list(in, from.getEndpoints(), to.endpoints, limits::endpoints_max, "replica_found.endpoints",
            [&](auto endpoint, capacity_vector& value) { read(endpoint, value, in); });
  read(from.getRuntime(), to.runtime, in);
  to.node.value = in.label(from.getNode(), "replica_found.node");
  read_adapters(in, from.getAdapters(), to.adapters, "replica_found.adapters");
  return to;
}

core::fetch_failed take(wire::FetchFailed::Reader from, incoming& in) {
  core::fetch_failed to;
  read(from.getKey(), to.key, in);
  to.content.value = in.digest(from.getContent(), "fetch_failed.content");
  to.node.value = in.name(from.getNode(), "fetch_failed.node");
  to.life = incarnation(from.getLife());
  read(from.getFailure(), to.failure, in);
  return to;
}

core::compile_requested take(wire::CompileRequested::Reader from, incoming& in) {
  core::compile_requested to;
  to.model.value = in.label(from.getModel(), "compile_requested.model");
  to.selector = in.label(from.getSelector(), "compile_requested.selector");
  return to;
}

} // namespace

void write(wire::Event::Builder to, const core::event& from, outgoing& out) {
  std::visit(event_writer{to, out}, from);
}

void read(wire::Event::Reader from, core::event& to, incoming& in) {
  using kind = wire::Event::Which;
  switch (from.which()) {
  case kind::NODE_JOINED: to = take(from.getNodeJoined(), in); return;
  case kind::NODE_LOST: to = take(from.getNodeLost(), in); return;
  case kind::LEASE_RENEWED: to = take(from.getLeaseRenewed(), in); return;
  case kind::DRAIN_CHANGED: to = take(from.getDrainChanged(), in); return;
  case kind::DEVICE_ADVERTISED: to = take(from.getDeviceAdvertised(), in); return;
  case kind::DEVICE_REPORTED: to = take(from.getDeviceReported(), in); return;
  case kind::DEVICE_LOST: to = take(from.getDeviceLost(), in); return;
  case kind::MODEL_DECLARED: to = take(from.getModelDeclared(), in); return;
  case kind::MODEL_REMOVED:
    to = core::model_removed{model_name(in.label(from.getModelRemoved(), "model_removed.name"))};
    return;
  case kind::REQUEST_SUBMITTED: to = take(from.getRequestSubmitted(), in); return;
  case kind::REQUEST_CANCELLED: to = take(from.getRequestCancelled(), in); return;
  case kind::ATTEMPT_STARTED: to = take(from.getAttemptStarted(), in); return;
  case kind::ATTEMPT_PROGRESSED: to = take(from.getAttemptProgressed(), in); return;
  case kind::ATTEMPT_FINISHED: to = take(from.getAttemptFinished(), in); return;
  case kind::ATTEMPT_FAILED: to = take(from.getAttemptFailed(), in); return;
  case kind::GATEWAY_LOST: to = core::gateway_lost{gateway_id(from.getGatewayLost())}; return;
  case kind::ALLOCATION_RESERVED: to = take_reserved(from.getAllocationReserved(), in); return;
  case kind::ALLOCATION_REFUSED: to = take_refused(from.getAllocationRefused(), in); return;
  case kind::REPLICA_LOADED: to = take(from.getReplicaLoaded(), in); return;
  case kind::REPLICA_UNLOADED:
    to = core::replica_unloaded{instance_id(from.getReplicaUnloaded().getInstance()),
                                incarnation(from.getReplicaUnloaded().getLife())};
    return;
  case kind::REPLICA_FAILED: to = take_failed(from.getReplicaFailed(), in); return;
  case kind::ARTIFACT_FOUND: to = take(from.getArtifactFound(), in); return;
  case kind::ARTIFACT_LOST: to = take(from.getArtifactLost(), in); return;
  case kind::COMPILE_PROGRESSED: to = take(from.getCompileProgressed(), in); return;
  case kind::COMPILE_FINISHED: to = take(from.getCompileFinished(), in); return;
  case kind::COMPILE_FAILED: to = take(from.getCompileFailed(), in); return;
  case kind::COMPILE_REQUESTED: to = take(from.getCompileRequested(), in); return;
  case kind::TICK: to = core::tick{}; return;
  case kind::REQUEST_RESTORED: to = take(from.getRequestRestored(), in); return;
  case kind::GATEWAY_RESTORED:
    to = core::gateway_restored{gateway_id(from.getGatewayRestored())};
    return;
  case kind::REPLICA_FOUND: to = take(from.getReplicaFound(), in); return;
  case kind::FETCH_FAILED: to = take(from.getFetchFailed(), in); return;
  }
  in.unknown_kind("event", static_cast<unsigned>(from.which()));
}

} // namespace consort::messages
