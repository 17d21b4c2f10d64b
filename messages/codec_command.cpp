// SPDX-License-Identifier: Apache-2.0
// Core commands to and from command.capnp. The switch at the end names every command once.
#include "messages/wire_messages.hpp"
#include "scheduler/limits.hpp"

namespace consort::messages {

template <>
inline constexpr core::note::severity
    last_enumerator<core::note::severity> = core::note::severity::error;

namespace {

// Whatever a scheduler may tell of what is to come can be written.
static_assert(core::limits::told_span_us_max <= limits::duration_us_max);

/// Writes one command into the union.
struct command_writer {
  wire::Command::Builder to;
  outgoing& out;

  void operator()(const core::grant_lease& from) {
    auto lease = to.initGrantLease();
    lease.setNode(out.name(from.node.value, "grant_lease.node"));
    lease.setLife(from.life.value);
    lease.setLeaseEpoch(from.lease_epoch.value);
    lease.setUntil(out.time(from.until, "grant_lease.until"));
  }

  void operator()(const core::fence_node& from) {
    auto fence = to.initFenceNode();
    fence.setNode(out.name(from.node.value, "fence_node.node"));
    fence.setLife(from.life.value);
    fence.setReason(out.sentence(from.reason));
  }

  void operator()(const core::reserve_allocation& from) {
    auto reserve = to.initReserveAllocation();
    reserve.setNode(out.name(from.node.value, "reserve_allocation.node"));
    write(reserve.initGrant(), from.grant, out);
  }

  void operator()(const core::release_allocation& from) {
    auto release = to.initReleaseAllocation();
    release.setNode(out.name(from.node.value, "release_allocation.node"));
    release.setAllocation(from.allocation.value);
    release.setFence(from.fence.value);
  }

  void operator()(const core::load_replica& from) {
    auto load = to.initLoadReplica();
    load.setNode(out.name(from.node.value, "load_replica.node"));
    load.setInstance(from.instance.value);
    write(load.initGrant(), from.grant, out);
    load.setModel(out.label(from.model.value, "load_replica.model"));
    write(load.initVariant(), from.variant, out);
    if (from.artifact)
      write(load.initArtifact(), *from.artifact, out);
    write(load.initWays(), from.ways);
    load.setLaunch(out.word<wire::LaunchKind>(from.launch, "load_replica.launch"));
    load.setOwnership(out.word<wire::OwnershipKind>(from.ownership, "load_replica.ownership"));
    load.setRank(from.rank);
    load.setRanks(from.ranks);
    if (from.cache)
      write(load.initCache(), *from.cache, out);
  }

  void operator()(const core::unload_replica& from) {
    auto unload = to.initUnloadReplica();
    unload.setNode(out.name(from.node.value, "unload_replica.node"));
    unload.setInstance(from.instance.value);
    unload.setReason(out.sentence(from.reason));
  }

  void operator()(const core::revoke_attempt& from) {
    auto revoke = to.initRevokeAttempt();
    revoke.setNode(out.name(from.node.value, "revoke_attempt.node"));
    revoke.setDevice(out.name(from.device.value, "revoke_attempt.device"));
    revoke.setInstance(from.instance.value);
    write(revoke.initAttempt(), from.attempt);
    revoke.setReason(out.sentence(from.reason));
  }

  void operator()(const core::start_compile& from) {
    auto start = to.initStartCompile();
    start.setNode(out.name(from.node.value, "start_compile.node"));
    start.setCompile(from.compile.value);
    write(start.initKey(), from.key, out);
    start.setModel(out.label(from.model.value, "start_compile.model"));
    write(start.initSource(), from.source, out);
    if (from.grant)
      write(start.initGrant(), *from.grant, out);
  }

  void operator()(const core::cancel_compile& from) {
    auto cancel = to.initCancelCompile();
    cancel.setNode(out.name(from.node.value, "cancel_compile.node"));
    cancel.setCompile(from.compile.value);
  }

  void operator()(const core::fetch_artifact& from) {
    auto fetch = to.initFetchArtifact();
    fetch.setNode(out.name(from.node.value, "fetch_artifact.node"));
    fetch.setContent(out.digest(from.content, "fetch_artifact.content"));
    write(fetch.initKey(), from.key, out);
    fetch.setFrom(out.name(from.from.value, "fetch_artifact.from"));
    fetch.setFromAddress(out.label(from.from_address, "fetch_artifact.from_address"));
  }

  void operator()(const core::delete_artifact& from) {
    auto remove = to.initDeleteArtifact();
    remove.setNode(out.name(from.node.value, "delete_artifact.node"));
    remove.setContent(out.digest(from.content, "delete_artifact.content"));
  }

  void operator()(const core::grant_ticket& from) {
    auto grant = to.initGrantTicket();
    write(grant.initGranted(), from.granted, out);
    grant.setResumed(from.resumed);
    grant.setQueuedUs(out.duration(from.queued_us, "grant_ticket.queued_us"));
    grant.setExact(from.exact);
    grant.setHedge(from.hedge);
  }

  void operator()(const core::drop_attempt& from) {
    auto drop = to.initDropAttempt();
    write(drop.initAttempt(), from.attempt);
    drop.setReason(out.sentence(from.reason));
  }

  void operator()(const core::queue_notice& from) {
    auto notice = to.initQueueNotice();
    write(notice.initRequest(), from.request);
    notice.setState(out.label(from.state, "queue_notice.state"));
    notice.setPosition(from.position);
    if (from.eta_us)
      notice.getEtaUs().setEta(out.duration(*from.eta_us, "queue_notice.eta_us"));
    notice.setReason(out.sentence(from.reason));
  }

  void operator()(const core::reject_request& from) {
    auto reject = to.initRejectRequest();
    write(reject.initRequest(), from.request);
    reject.setHttpStatus(out.number(from.http_status, limits::http_status_min,
                                    limits::http_status_max, "reject_request.http_status"));
    write(reject.initReason(), from.reason, out);
    if (from.retry_after_us)
      reject.getRetryAfterUs().setRetryAfter(
          out.duration(*from.retry_after_us, "reject_request.retry_after_us"));
    reject.setState(out.label(from.state, "reject_request.state"));
    if (from.eta_us)
      reject.getEtaUs().setEta(out.duration(*from.eta_us, "reject_request.eta_us"));
  }

  void operator()(const core::record_request& from) {
    auto record = to.initRecordRequest();
    write(record.initRequest(), from.request);
    record.setExternalId(
        out.label(from.external_id, "record_request.external_id", limits::name_bytes_max));
    record.setModel(out.label(from.model.value, "record_request.model"));
    record.setTenant(out.label(from.tenant.value, "record_request.tenant"));
    record.setOutcome(out.word<wire::RequestOutcome>(from.outcome, "record_request.outcome"));
    record.setDevice(out.name_or_none(from.device.value, "record_request.device"));
    record.setAttempts(from.attempts);
    record.setQueuedUs(out.duration(from.queued_us, "record_request.queued_us"));
    record.setTotalUs(out.duration(from.total_us, "record_request.total_us"));
    write(record.initUsage(), from.usage);
    record.setCode(out.label(from.code, "record_request.code"));
  }

  void operator()(const core::note& from) {
    auto note = to.initNote();
    note.setLevel(out.word<wire::Note::Severity>(from.level, "note.level"));
    note.setSubject(out.sentence(from.subject));
    note.setText(out.sentence(from.text));
  }
};

core::grant_lease take(wire::GrantLease::Reader from, incoming& in) {
  core::grant_lease to;
  to.node.value = in.name(from.getNode(), "grant_lease.node");
  to.life = incarnation(from.getLife());
  to.lease_epoch = epoch(from.getLeaseEpoch());
  to.until = in.time(from.getUntil(), "grant_lease.until");
  return to;
}

core::fence_node take(wire::FenceNode::Reader from, incoming& in) {
  core::fence_node to;
  to.node.value = in.name(from.getNode(), "fence_node.node");
  to.life = incarnation(from.getLife());
  to.reason = in.text(from.getReason(), "fence_node.reason");
  return to;
}

core::reserve_allocation take(wire::ReserveAllocation::Reader from, incoming& in) {
  core::reserve_allocation to;
  to.node.value = in.name(from.getNode(), "reserve_allocation.node");
  read(from.getGrant(), to.grant, in);
  return to;
}

core::release_allocation take(wire::ReleaseAllocation::Reader from, incoming& in) {
  core::release_allocation to;
  to.node.value = in.name(from.getNode(), "release_allocation.node");
  to.allocation = allocation_id(from.getAllocation());
  to.fence = epoch(from.getFence());
  return to;
}

core::load_replica take(wire::LoadReplica::Reader from, incoming& in) {
  core::load_replica to;
  to.node.value = in.name(from.getNode(), "load_replica.node");
  to.instance = instance_id(from.getInstance());
  read(from.getGrant(), to.grant, in);
  to.model.value = in.label(from.getModel(), "load_replica.model");
  read(from.getVariant(), to.variant, in);
  if (from.hasArtifact())
    read(from.getArtifact(), to.artifact.emplace(), in);
  read(from.getWays(), to.ways);
  to.launch = in.word<launch_kind>(from.getLaunch(), "load_replica.launch");
  to.ownership = in.word<ownership_kind>(from.getOwnership(), "load_replica.ownership");
  to.rank = from.getRank();
  to.ranks = from.getRanks();
  if (from.hasCache())
    read(from.getCache(), to.cache.emplace(), in);
  return to;
}

core::unload_replica take(wire::UnloadReplica::Reader from, incoming& in) {
  core::unload_replica to;
  to.node.value = in.name(from.getNode(), "unload_replica.node");
  to.instance = instance_id(from.getInstance());
  to.reason = in.text(from.getReason(), "unload_replica.reason");
  return to;
}

core::revoke_attempt take(wire::RevokeAttempt::Reader from, incoming& in) {
  core::revoke_attempt to;
  to.node.value = in.name(from.getNode(), "revoke_attempt.node");
  to.device.value = in.name(from.getDevice(), "revoke_attempt.device");
  to.instance = instance_id(from.getInstance());
  read(from.getAttempt(), to.attempt);
  to.reason = in.text(from.getReason(), "revoke_attempt.reason");
  return to;
}

core::start_compile take(wire::StartCompile::Reader from, incoming& in) {
  core::start_compile to;
  to.node.value = in.name(from.getNode(), "start_compile.node");
  to.compile = compile_id(from.getCompile());
  read(from.getKey(), to.key, in);
  to.model.value = in.label(from.getModel(), "start_compile.model");
  read(from.getSource(), to.source, in);
  if (from.hasGrant())
    read(from.getGrant(), to.grant.emplace(), in);
  return to;
}

core::cancel_compile take(wire::CancelCompile::Reader from, incoming& in) {
  core::cancel_compile to;
  to.node.value = in.name(from.getNode(), "cancel_compile.node");
  to.compile = compile_id(from.getCompile());
  return to;
}

core::fetch_artifact take(wire::FetchArtifact::Reader from, incoming& in) {
  core::fetch_artifact to;
  to.node.value = in.name(from.getNode(), "fetch_artifact.node");
  to.content.value = in.digest(from.getContent(), "fetch_artifact.content");
  read(from.getKey(), to.key, in);
  to.from.value = in.name(from.getFrom(), "fetch_artifact.from");
  to.from_address = in.label(from.getFromAddress(), "fetch_artifact.from_address");
  return to;
}

core::delete_artifact take(wire::DeleteArtifact::Reader from, incoming& in) {
  core::delete_artifact to;
  to.node.value = in.name(from.getNode(), "delete_artifact.node");
  to.content.value = in.digest(from.getContent(), "delete_artifact.content");
  return to;
}

core::grant_ticket take(wire::GrantTicket::Reader from, incoming& in) {
  core::grant_ticket to;
  read(from.getGranted(), to.granted, in);
  to.resumed = from.getResumed();
  to.queued_us = in.duration(from.getQueuedUs(), "grant_ticket.queued_us");
  to.exact = from.getExact();
  to.hedge = from.getHedge();
  return to;
}

core::drop_attempt take(wire::DropAttempt::Reader from, incoming& in) {
  core::drop_attempt to;
  read(from.getAttempt(), to.attempt);
  to.reason = in.text(from.getReason(), "drop_attempt.reason");
  return to;
}

core::queue_notice take(wire::QueueNotice::Reader from, incoming& in) {
  core::queue_notice to;
  read(from.getRequest(), to.request);
  to.state = in.label(from.getState(), "queue_notice.state");
  to.position = from.getPosition();
  if (from.getEtaUs().isEta())
    to.eta_us = in.duration(from.getEtaUs().getEta(), "queue_notice.eta_us");
  to.reason = in.text(from.getReason(), "queue_notice.reason");
  return to;
}

core::reject_request take(wire::RejectRequest::Reader from, incoming& in) {
  core::reject_request to;
  read(from.getRequest(), to.request);
  to.http_status = in.number(from.getHttpStatus(), limits::http_status_min, limits::http_status_max,
                             "reject_request.http_status");
  read(from.getReason(), to.reason, in);
  if (from.getRetryAfterUs().isRetryAfter())
    to.retry_after_us
        = in.duration(from.getRetryAfterUs().getRetryAfter(), "reject_request.retry_after_us");
  to.state = in.label(from.getState(), "reject_request.state");
  if (from.getEtaUs().isEta())
    to.eta_us = in.duration(from.getEtaUs().getEta(), "reject_request.eta_us");
  return to;
}

core::record_request take(wire::RecordRequest::Reader from, incoming& in) {
  core::record_request to;
  read(from.getRequest(), to.request);
  to.external_id
      = in.label(from.getExternalId(), "record_request.external_id", limits::name_bytes_max);
  to.model.value = in.label(from.getModel(), "record_request.model");
  to.tenant.value = in.label(from.getTenant(), "record_request.tenant");
  to.outcome = in.word<request_outcome>(from.getOutcome(), "record_request.outcome");
  to.device.value = in.name_or_none(from.getDevice(), "record_request.device");
  to.attempts = from.getAttempts();
  to.queued_us = in.duration(from.getQueuedUs(), "record_request.queued_us");
  to.total_us = in.duration(from.getTotalUs(), "record_request.total_us");
  read(from.getUsage(), to.usage);
  to.code = in.label(from.getCode(), "record_request.code");
  return to;
}

core::note take(wire::Note::Reader from, incoming& in) {
  core::note to;
  to.level = in.word<core::note::severity>(from.getLevel(), "note.level");
  to.subject = in.text(from.getSubject(), "note.subject");
  to.text = in.text(from.getText(), "note.text");
  return to;
}

} // namespace

void write(wire::Command::Builder to, const core::command& from, outgoing& out) {
  std::visit(command_writer{to, out}, from);
}

void read(wire::Command::Reader from, core::command& to, incoming& in) {
  using kind = wire::Command::Which;
  switch (from.which()) {
  case kind::GRANT_LEASE: to = take(from.getGrantLease(), in); return;
  case kind::FENCE_NODE: to = take(from.getFenceNode(), in); return;
  case kind::RESERVE_ALLOCATION: to = take(from.getReserveAllocation(), in); return;
  case kind::RELEASE_ALLOCATION: to = take(from.getReleaseAllocation(), in); return;
  case kind::LOAD_REPLICA: to = take(from.getLoadReplica(), in); return;
  case kind::UNLOAD_REPLICA: to = take(from.getUnloadReplica(), in); return;
  case kind::REVOKE_ATTEMPT: to = take(from.getRevokeAttempt(), in); return;
  case kind::START_COMPILE: to = take(from.getStartCompile(), in); return;
  case kind::CANCEL_COMPILE: to = take(from.getCancelCompile(), in); return;
  case kind::FETCH_ARTIFACT: to = take(from.getFetchArtifact(), in); return;
  case kind::DELETE_ARTIFACT: to = take(from.getDeleteArtifact(), in); return;
  case kind::GRANT_TICKET: to = take(from.getGrantTicket(), in); return;
  case kind::DROP_ATTEMPT: to = take(from.getDropAttempt(), in); return;
  case kind::QUEUE_NOTICE: to = take(from.getQueueNotice(), in); return;
  case kind::REJECT_REQUEST: to = take(from.getRejectRequest(), in); return;
  case kind::RECORD_REQUEST: to = take(from.getRecordRequest(), in); return;
  case kind::NOTE: to = take(from.getNote(), in); return;
  }
  in.unknown_kind("command", static_cast<unsigned>(from.which()));
}

} // namespace consort::messages
