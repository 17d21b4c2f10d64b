// SPDX-License-Identifier: Apache-2.0
// Snapshots and explanations to and from view.capnp.
#include "messages/wire_messages.hpp"

namespace consort::messages {

namespace {

using id_list = capnp::List<capnp::Text>;

/// Device, node or model names alike: lists of strong names.
template <class Init, class Id>
void write_ids(outgoing& out, const std::vector<Id>& ids, std::string_view field, Init init) {
  auto list = init(out.count(ids.size(), limits::view_rows_max, field));
  for (unsigned at = 0; at < list.size(); ++at)
    list.set(at, out.label(ids[at].value, field));
}
template <class Id>
void read_ids(incoming& in, id_list::Reader from, std::vector<Id>& ids, std::string_view field) {
  read_list(in, from, ids, limits::view_rows_max, field,
            [&](capnp::Text::Reader id, Id& value) { value.value = in.label(id, field); });
}

void write(wire::NodeView::Builder to, const core::node_view& from, outgoing& out) {
  to.setNode(out.name(from.node.value, "node_view.node"));
  to.setLife(from.life.value);
  to.setAlive(from.alive);
  to.setSuspect(from.suspect);
  to.setDraining(from.draining);
  to.setCordoned(from.cordoned);
  to.setLeaseEpoch(from.lease_epoch.value);
  to.setLeaseLeftUs(out.time(from.lease_left_us, "node_view.lease_left_us"));
  to.setDataAddress(out.label(from.data_address, "node_view.data_address"));
  write_profiles(out, from.toolchains, "node_view.toolchains",
                 [&](unsigned size) { return to.initToolchains(size); });
  write_attributes(out, from.attributes, "node_view.attributes",
                   [&](unsigned size) { return to.initAttributes(size); });
  to.setRunning(from.running);
  to.setHeldOffUs(out.time(from.held_off_us, "node_view.held_off_us"));
}

void read(wire::NodeView::Reader from, core::node_view& to, incoming& in) {
  to.node.value = in.name(from.getNode(), "node_view.node");
  to.life = incarnation(from.getLife());
  to.alive = from.getAlive();
  to.suspect = from.getSuspect();
  to.draining = from.getDraining();
  to.cordoned = from.getCordoned();
  to.lease_epoch = epoch(from.getLeaseEpoch());
  to.lease_left_us = in.time(from.getLeaseLeftUs(), "node_view.lease_left_us");
  to.data_address = in.label(from.getDataAddress(), "node_view.data_address");
  read_profiles(in, from.getToolchains(), to.toolchains, "node_view.toolchains");
  read_map(from.getAttributes(), to.attributes, "node_view.attributes", in);
  to.running = from.getRunning();
  to.held_off_us = in.time(from.getHeldOffUs(), "node_view.held_off_us");
}

void write(wire::DeviceView::Builder to, const core::device_view& from, outgoing& out) {
  write(to.initSpec(), from.spec, out);
  write(to.initReading(), from.reading, out);
  to.setAlive(from.alive);
  to.setDraining(from.draining);
  to.setCordoned(from.cordoned);
  to.setBreaker(out.label(from.breaker, "device_view.breaker"));
  to.setRunning(from.running);
  write_ids(out, from.loaded, "device_view.loaded",
            [&](unsigned size) { return to.initLoaded(size); });
}

void read(wire::DeviceView::Reader from, core::device_view& to, incoming& in) {
  read(from.getSpec(), to.spec, in);
  read(from.getReading(), to.reading, in);
  to.alive = from.getAlive();
  to.draining = from.getDraining();
  to.cordoned = from.getCordoned();
  to.breaker = in.label(from.getBreaker(), "device_view.breaker");
  to.running = from.getRunning();
  read_ids(in, from.getLoaded(), to.loaded, "device_view.loaded");
}

void write(wire::ReplicaView::Builder to, const core::replica_view& from, outgoing& out) {
  to.setInstance(from.instance.value);
  to.setModel(out.label(from.model.value, "replica_view.model"));
  to.setLeader(out.name(from.leader.value, "replica_view.leader"));
  write_ids(out, from.devices, "replica_view.devices",
            [&](unsigned size) { return to.initDevices(size); });
  to.setState(out.label(from.state, "replica_view.state"));
  to.setRunning(from.running);
  to.setSequencesMax(from.sequences_max);
  to.setKvTokensMax(from.kv_tokens_max);
  to.setKvTokensReserved(from.kv_tokens_reserved);
  to.setArtifact(out.digest(from.artifact, "replica_view.artifact"));
  to.setPrefillTokensPerS(from.prefill_tokens_per_s);
  to.setDecodeTokensPerS(from.decode_tokens_per_s);
  to.setPredictions(from.predictions);
  to.setFirstErrorP50Pm(from.first_error_p50_pm);
  to.setFirstErrorP90Pm(from.first_error_p90_pm);
  to.setEnergyUjPerToken(from.energy_uj_per_token);
}

void read(wire::ReplicaView::Reader from, core::replica_view& to, incoming& in) {
  to.instance = instance_id(from.getInstance());
  to.model.value = in.label(from.getModel(), "replica_view.model");
  to.leader.value = in.name(from.getLeader(), "replica_view.leader");
  read_ids(in, from.getDevices(), to.devices, "replica_view.devices");
  to.state = in.label(from.getState(), "replica_view.state");
  to.running = from.getRunning();
  to.sequences_max = from.getSequencesMax();
  to.kv_tokens_max = from.getKvTokensMax();
  to.kv_tokens_reserved = from.getKvTokensReserved();
  to.artifact.value = in.digest(from.getArtifact(), "replica_view.artifact");
  to.prefill_tokens_per_s = from.getPrefillTokensPerS();
  to.decode_tokens_per_s = from.getDecodeTokensPerS();
  to.predictions = from.getPredictions();
  to.first_error_p50_pm = from.getFirstErrorP50Pm();
  to.first_error_p90_pm = from.getFirstErrorP90Pm();
  to.energy_uj_per_token = from.getEnergyUjPerToken();
}

void write(wire::ModelView::Builder to, const core::model_view& from, outgoing& out) {
  write(to.initSpec(), from.spec, out);
  to.setReplicasReady(from.replicas_ready);
  to.setReplicasLoading(from.replicas_loading);
  to.setWaiting(from.waiting);
  to.setContextTokens(from.context_tokens);
}

void read(wire::ModelView::Reader from, core::model_view& to, incoming& in) {
  read(from.getSpec(), to.spec, in);
  if (to.spec.name.empty())
    in.fail("model_view.spec", "has no name");
  to.replicas_ready = from.getReplicasReady();
  to.replicas_loading = from.getReplicasLoading();
  to.waiting = from.getWaiting();
  to.context_tokens = from.getContextTokens();
}

void write(wire::ArtifactView::Builder to, const core::artifact_view& from, outgoing& out) {
  write(to.initKey(), from.key, out);
  to.setModel(out.label(from.model.value, "artifact_view.model"));
  to.setState(out.word<wire::ArtifactState>(from.state, "artifact_view.state"));
  to.setContent(out.digest(from.content, "artifact_view.content"));
  to.setSizeBytes(from.size_bytes);
  write_ids(out, from.nodes, "artifact_view.nodes",
            [&](unsigned size) { return to.initNodes(size); });
  to.setDonePm(
      out.number<std::uint32_t>(from.done_pm, 0, limits::per_mille_max, "artifact_view.done_pm"));
  if (from.eta_us)
    to.getEtaUs().setEta(out.duration(*from.eta_us, "artifact_view.eta_us"));
  to.setBuilds(from.builds);
  to.setLastError(out.sentence(from.last_error));
  write_attributes(out, from.quality, "artifact_view.quality",
                   [&](unsigned size) { return to.initQuality(size); });
  to.setOwn(out.digest(from.own, "artifact_view.own"));
  to.setReplicas(from.replicas);
}

void read(wire::ArtifactView::Reader from, core::artifact_view& to, incoming& in) {
  read(from.getKey(), to.key, in);
  if (to.key.binds.empty())
    in.fail("artifact_view.key", "binds nothing");
  to.model.value = in.label(from.getModel(), "artifact_view.model");
  to.state = in.word<artifact_state>(from.getState(), "artifact_view.state");
  to.content.value = in.digest(from.getContent(), "artifact_view.content");
  to.size_bytes = from.getSizeBytes();
  read_ids(in, from.getNodes(), to.nodes, "artifact_view.nodes");
  to.done_pm = in.number<std::uint32_t>(from.getDonePm(), 0, limits::per_mille_max,
                                        "artifact_view.done_pm");
  if (from.getEtaUs().isEta())
    to.eta_us = in.duration(from.getEtaUs().getEta(), "artifact_view.eta_us");
  to.builds = from.getBuilds();
  to.last_error = in.text(from.getLastError(), "artifact_view.last_error");
  read_map(from.getQuality(), to.quality, "artifact_view.quality", in);
  to.own.value = in.digest(from.getOwn(), "artifact_view.own");
  to.replicas = from.getReplicas();
}

void write(wire::CountersView::Builder to, const core::counters_view& from) {
  to.setSubmitted(from.submitted);
  to.setFinished(from.finished);
  to.setFailed(from.failed);
  to.setCancelled(from.cancelled);
  to.setRejected(from.rejected);
  to.setExpired(from.expired);
  to.setAttempts(from.attempts);
  to.setRetries(from.retries);
  to.setResumes(from.resumes);
  to.setBuildsStarted(from.builds_started);
  to.setBuildsFailed(from.builds_failed);
  to.setLoads(from.loads);
  to.setDecisions(from.decisions);
  to.setBuildsFinished(from.builds_finished);
  to.setBuildUsTotal(from.build_us_total);
  to.setPreemptions(from.preemptions);
  to.setHedges(from.hedges);
  to.setHedgesWon(from.hedges_won);
}

void read(wire::CountersView::Reader from, core::counters_view& to) {
  to.submitted = from.getSubmitted();
  to.finished = from.getFinished();
  to.failed = from.getFailed();
  to.cancelled = from.getCancelled();
  to.rejected = from.getRejected();
  to.expired = from.getExpired();
  to.attempts = from.getAttempts();
  to.retries = from.getRetries();
  to.resumes = from.getResumes();
  to.builds_started = from.getBuildsStarted();
  to.builds_failed = from.getBuildsFailed();
  to.loads = from.getLoads();
  to.decisions = from.getDecisions();
  to.builds_finished = from.getBuildsFinished();
  to.build_us_total = from.getBuildUsTotal();
  to.preemptions = from.getPreemptions();
  to.hedges = from.getHedges();
  to.hedges_won = from.getHedgesWon();
}

void write(wire::CandidateView::Builder to, const core::candidate_view& from, outgoing& out) {
  to.setDevice(out.name(from.device.value, "candidate_view.device"));
  to.setInstance(from.instance.value);
  to.setRemovedBy(out.label(from.removed_by, "candidate_view.removed_by"));
  to.setReason(out.sentence(from.reason));
  to.setScore(from.score);
  write_list(
      out, from.terms, limits::terms_max, "candidate_view.terms",
      [&](unsigned size) { return to.initTerms(size); },
      [&](wire::ScoreTerm::Builder term, const core::score_term& value) {
        term.setName(out.label(value.name, "score_term.name"));
        term.setValue(value.value);
      });
}

void read(wire::CandidateView::Reader from, core::candidate_view& to, incoming& in) {
  to.device.value = in.name(from.getDevice(), "candidate_view.device");
  to.instance = instance_id(from.getInstance());
  to.removed_by = in.label(from.getRemovedBy(), "candidate_view.removed_by");
  to.reason = in.text(from.getReason(), "candidate_view.reason");
  to.score = from.getScore();
  read_list(in, from.getTerms(), to.terms, limits::terms_max, "candidate_view.terms",
            [&](wire::ScoreTerm::Reader term, core::score_term& value) {
              value.name = in.label(term.getName(), "score_term.name");
              value.value = term.getValue();
            });
}

void write(wire::DecisionView::Builder to, const core::decision_view& from, outgoing& out) {
  to.setAttempt(from.attempt);
  to.setAt(out.time(from.at, "decision_view.at"));
  to.setPolicy(out.label(from.policy, "decision_view.policy"));
  to.setOutcome(out.label(from.outcome, "decision_view.outcome"));
  to.setReason(out.sentence(from.reason));
  to.setWinner(out.name_or_none(from.winner.value, "decision_view.winner"));
  write_list(
      out, from.candidates, limits::candidates_max, "decision_view.candidates",
      [&](unsigned size) { return to.initCandidates(size); },
      [&](auto candidate, const core::candidate_view& value) { write(candidate, value, out); });
  to.setCandidatesTotal(from.candidates_total);
}

void read(wire::DecisionView::Reader from, core::decision_view& to, incoming& in) {
  to.attempt = from.getAttempt();
  to.at = in.time(from.getAt(), "decision_view.at");
  to.policy = in.label(from.getPolicy(), "decision_view.policy");
  to.outcome = in.label(from.getOutcome(), "decision_view.outcome");
  to.reason = in.text(from.getReason(), "decision_view.reason");
  to.winner.value = in.name_or_none(from.getWinner(), "decision_view.winner");
  read_list(in, from.getCandidates(), to.candidates, limits::candidates_max,
            "decision_view.candidates",
            [&](auto candidate, core::candidate_view& value) { read(candidate, value, in); });
  to.candidates_total = from.getCandidatesTotal();
}

/// A snapshot's list of rows.
template <class Row, class Init>
void write_rows(outgoing& out, const std::vector<Row>& rows, std::string_view field, Init init) {
  write_list(out, rows, limits::view_rows_max, field, init,
             [&](auto to, const Row& row) { write(to, row, out); });
}
template <class List, class Row>
void read_rows(incoming& in, List from, std::vector<Row>& rows, std::string_view field) {
  read_list(in, from, rows, limits::view_rows_max, field,
            [&](auto element, Row& row) { read(element, row, in); });
}

} // namespace

void write(wire::RequestView::Builder to, const core::request_view& from, outgoing& out) {
  write(to.initId(), from.id);
  to.setExternalId(out.label(from.external_id, "request_view.external_id", limits::name_bytes_max));
  to.setModel(out.label(from.model.value, "request_view.model"));
  to.setState(out.label(from.state, "request_view.state"));
  to.setDevice(out.name_or_none(from.device.value, "request_view.device"));
  to.setAttempts(from.attempts);
  to.setAgeUs(out.duration(from.age_us, "request_view.age_us"));
  to.setTenant(out.label(from.tenant.value, "request_view.tenant"));
  to.setPriority(out.label(from.priority, "request_view.priority"));
  if (from.deadline_left_us)
    to.getDeadlineLeftUs().setDeadlineLeft(
        out.duration(*from.deadline_left_us, "request_view.deadline_left_us"));
  to.setNumber(from.number);
}

void read(wire::RequestView::Reader from, core::request_view& to, incoming& in) {
  read(from.getId(), to.id);
  to.external_id
      = in.label(from.getExternalId(), "request_view.external_id", limits::name_bytes_max);
  to.model.value = in.label(from.getModel(), "request_view.model");
  to.state = in.label(from.getState(), "request_view.state");
  to.device.value = in.name_or_none(from.getDevice(), "request_view.device");
  to.attempts = from.getAttempts();
  to.age_us = in.duration(from.getAgeUs(), "request_view.age_us");
  to.tenant.value = in.label(from.getTenant(), "request_view.tenant");
  to.priority = in.label(from.getPriority(), "request_view.priority");
  if (from.getDeadlineLeftUs().isDeadlineLeft())
    to.deadline_left_us
        = in.duration(from.getDeadlineLeftUs().getDeadlineLeft(), "request_view.deadline_left_us");
  to.number = from.getNumber();
}

void write(wire::Snapshot::Builder to, const core::snapshot& from, outgoing& out) {
  to.setCluster(out.label(from.cluster, "snapshot.cluster"));
  to.setNow(out.time(from.now, "snapshot.now"));
  to.setPolicy(out.label(from.policy, "snapshot.policy"));
  write_rows(out, from.nodes, "snapshot.nodes", [&](unsigned n) { return to.initNodes(n); });
  write_rows(out, from.devices, "snapshot.devices", [&](unsigned n) { return to.initDevices(n); });
  write_rows(out, from.replicas, "snapshot.replicas",
             [&](unsigned n) { return to.initReplicas(n); });
  write_rows(out, from.models, "snapshot.models", [&](unsigned n) { return to.initModels(n); });
  write_rows(out, from.artifacts, "snapshot.artifacts",
             [&](unsigned n) { return to.initArtifacts(n); });
  write_rows(out, from.requests, "snapshot.requests",
             [&](unsigned n) { return to.initRequests(n); });
  to.setQueueDepth(from.queue_depth);
  to.setQueueDepthMax(from.queue_depth_max);
  write(to.initCounters(), from.counters);
  write_attributes(out, from.pools, "snapshot.pools",
                   [&](unsigned size) { return to.initPools(size); });
  to.setRequestsTotal(from.requests_total);
}

void read(wire::Snapshot::Reader from, core::snapshot& to, incoming& in) {
  to.cluster = in.label(from.getCluster(), "snapshot.cluster");
  to.now = in.time(from.getNow(), "snapshot.now");
  to.policy = in.label(from.getPolicy(), "snapshot.policy");
  read_rows(in, from.getNodes(), to.nodes, "snapshot.nodes");
  read_rows(in, from.getDevices(), to.devices, "snapshot.devices");
  read_rows(in, from.getReplicas(), to.replicas, "snapshot.replicas");
  read_rows(in, from.getModels(), to.models, "snapshot.models");
  read_rows(in, from.getArtifacts(), to.artifacts, "snapshot.artifacts");
  read_rows(in, from.getRequests(), to.requests, "snapshot.requests");
  to.queue_depth = from.getQueueDepth();
  to.queue_depth_max = from.getQueueDepthMax();
  read(from.getCounters(), to.counters);
  read_map(from.getPools(), to.pools, "snapshot.pools", in);
  to.requests_total = from.getRequestsTotal();
}

void write(wire::Explanation::Builder to, const core::explanation& from, outgoing& out) {
  write(to.initRequest(), from.request, out);
  write_list(
      out, from.decisions, limits::decisions_max, "explanation.decisions",
      [&](unsigned size) { return to.initDecisions(size); },
      [&](auto decision, const core::decision_view& value) { write(decision, value, out); });
  to.setOutcome(out.label(from.outcome, "explanation.outcome"));
  if (from.starts_in_us)
    to.getStartsInUs().setStartsIn(out.duration(*from.starts_in_us, "explanation.starts_in_us"));
  to.setHttpStatus(out.number<std::uint16_t>(from.http_status, 0, limits::http_status_max,
                                             "explanation.http_status"));
  if (from.retry_after_us)
    to.getRetryAfterUs().setRetryAfter(
        out.duration(*from.retry_after_us, "explanation.retry_after_us"));
}

void read(wire::Explanation::Reader from, core::explanation& to, incoming& in) {
  read(from.getRequest(), to.request, in);
  read_list(in, from.getDecisions(), to.decisions, limits::decisions_max, "explanation.decisions",
            [&](auto decision, core::decision_view& value) { read(decision, value, in); });
  to.outcome = in.label(from.getOutcome(), "explanation.outcome");
  if (from.getStartsInUs().isStartsIn())
    to.starts_in_us = in.duration(from.getStartsInUs().getStartsIn(), "explanation.starts_in_us");
  to.http_status = in.number<std::uint16_t>(from.getHttpStatus(), 0, limits::http_status_max,
                                            "explanation.http_status");
  if (from.getRetryAfterUs().isRetryAfter())
    to.retry_after_us
        = in.duration(from.getRetryAfterUs().getRetryAfter(), "explanation.retry_after_us");
}

} // namespace consort::messages
