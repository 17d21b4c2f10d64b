// SPDX-License-Identifier: Apache-2.0
// Requests, tickets, measurements.
#include "messages/wire_types.hpp"

namespace consort::messages {

void write(wire::RequestId::Builder to, const request_id& from) {
  to.setGateway(from.gateway.value);
  to.setSequence(from.sequence);
}

void read(wire::RequestId::Reader from, request_id& to) {
  to.gateway = gateway_id(from.getGateway());
  to.sequence = from.getSequence();
}

void write(wire::AttemptId::Builder to, const attempt_id& from) {
  write(to.initRequest(), from.request);
  to.setNumber(from.number);
}

void read(wire::AttemptId::Reader from, attempt_id& to) {
  read(from.getRequest(), to.request);
  to.number = from.getNumber();
}

void write(wire::TokenUsage::Builder to, const token_usage& from) {
  to.setPromptTokens(from.prompt_tokens);
  to.setCompletionTokens(from.completion_tokens);
  to.setCachedTokens(from.cached_tokens);
}

void read(wire::TokenUsage::Reader from, token_usage& to) {
  to.prompt_tokens = from.getPromptTokens();
  to.completion_tokens = from.getCompletionTokens();
  to.cached_tokens = from.getCachedTokens();
}

namespace {

/// What a gateway means that does not know profiles by name.
policy_name older_policy(wire::PolicyName word) {
  switch (word) {
  case wire::PolicyName::LATENCY: return policy_name{"latency"};
  case wire::PolicyName::THROUGHPUT: return policy_name{"throughput"};
  case wire::PolicyName::ENERGY: return policy_name{"energy"};
  case wire::PolicyName::COST: return policy_name{"cost"};
  case wire::PolicyName::HYBRID: return policy_name{"hybrid"};
  }
  return policy_name{"latency"};
}

} // namespace

void write(wire::RequestMeta::Builder to, const request_meta& from, outgoing& out) {
  write(to.initId(), from.id);
  to.setExternalId(out.label(from.external_id, "request_meta.external_id", limits::name_bytes_max));
  to.setKind(out.word<wire::RequestKind>(from.kind, "request_meta.kind"));
  to.setModel(out.label(from.model.value, "request_meta.model"));
  to.setTenant(out.label(from.tenant.value, "request_meta.tenant"));
  to.setSession(out.label(from.session, "request_meta.session"));
  to.setSelector(out.label(from.selector, "request_meta.selector"));
  to.setPriority(out.word<wire::PriorityClass>(from.priority, "request_meta.priority"));
  if (from.policy)
    to.setPolicyText(out.label(from.policy->value, "request_meta.policy"));
  to.setPromptTokens(from.prompt_tokens);
  to.setMaxTokens(from.max_tokens);
  to.setChoices(
      out.number<std::uint32_t>(from.choices, 1, limits::choices_max, "request_meta.choices"));
  to.setStreaming(from.streaming);
  to.setResumable(from.resumable);
  if (from.deadline_us)
    to.getDeadlineUs().setDeadline(out.duration(*from.deadline_us, "request_meta.deadline_us"));
  if (from.wait_us)
    to.getWaitUs().setWait(out.duration(*from.wait_us, "request_meta.wait_us"));
  write_numbers(out, from.prefix_blocks, limits::prefix_blocks_max, "request_meta.prefix_blocks",
                [&](unsigned size) { return to.initPrefixBlocks(size); });
  write_words(out, from.labels, "request_meta.labels",
              [&](unsigned size) { return to.initLabels(size); });
  to.setHedge(from.hedge);
  to.setPromptIds(from.prompt_ids);
  to.setPromptBytes(from.prompt_bytes);
  to.setAsks(from.asks);
}

void read(wire::RequestMeta::Reader from, request_meta& to, incoming& in) {
  read(from.getId(), to.id);
  to.external_id
      = in.label(from.getExternalId(), "request_meta.external_id", limits::name_bytes_max);
  to.kind = in.word<request_kind>(from.getKind(), "request_meta.kind");
  to.model.value = in.label(from.getModel(), "request_meta.model");
  to.tenant.value = in.label(from.getTenant(), "request_meta.tenant");
  to.session = in.label(from.getSession(), "request_meta.session");
  to.selector = in.label(from.getSelector(), "request_meta.selector");
  to.priority = in.word<priority_class>(from.getPriority(), "request_meta.priority");
  if (from.hasPolicyText() && from.getPolicyText().size() > 0)
    to.policy = policy_name{in.label(from.getPolicyText(), "request_meta.policy")};
  else if (from.getPolicy().isPolicy())
    to.policy = older_policy(from.getPolicy().getPolicy());
  to.prompt_tokens = from.getPromptTokens();
  to.max_tokens = from.getMaxTokens();
  to.choices
      = in.number<std::uint32_t>(from.getChoices(), 1, limits::choices_max, "request_meta.choices");
  to.streaming = from.getStreaming();
  to.resumable = from.getResumable();
  if (from.getDeadlineUs().isDeadline())
    to.deadline_us = in.duration(from.getDeadlineUs().getDeadline(), "request_meta.deadline_us");
  if (from.getWaitUs().isWait())
    to.wait_us = in.duration(from.getWaitUs().getWait(), "request_meta.wait_us");
  read_numbers(in, from.getPrefixBlocks(), to.prefix_blocks, limits::prefix_blocks_max,
               "request_meta.prefix_blocks");
  read_words(from.getLabels(), to.labels, "request_meta.labels", in);
  to.hedge = from.getHedge();
  to.prompt_ids = from.getPromptIds();
  to.prompt_bytes = from.getPromptBytes();
  to.asks = from.getAsks();
}

void write(wire::Ticket::Builder to, const ticket& from, outgoing& out) {
  write(to.initAttempt(), from.attempt);
  to.setInstance(from.instance.value);
  to.setEndpointRank(from.endpoint_rank);
  to.setDevice(out.name(from.device.value, "ticket.device"));
  to.setNode(out.name(from.node.value, "ticket.node"));
  to.setNodeIncarnation(from.node_incarnation.value);
  to.setLeaseEpoch(from.lease_epoch.value);
  to.setDataAddress(out.label(from.data_address, "ticket.data_address"));
  to.setModel(out.label(from.model.value, "ticket.model"));
  to.setVariant(out.digest(from.variant, "ticket.variant"));
  to.setExpiresAt(out.time(from.expires_at, "ticket.expires_at"));
  to.setMac(out.label(from.mac, "ticket.mac"));
}

void read(wire::Ticket::Reader from, ticket& to, incoming& in) {
  read(from.getAttempt(), to.attempt);
  to.instance = instance_id(from.getInstance());
  to.endpoint_rank = from.getEndpointRank();
  to.device.value = in.name(from.getDevice(), "ticket.device");
  to.node.value = in.name(from.getNode(), "ticket.node");
  to.node_incarnation = incarnation(from.getNodeIncarnation());
  to.lease_epoch = epoch(from.getLeaseEpoch());
  to.data_address = in.label(from.getDataAddress(), "ticket.data_address");
  to.model.value = in.label(from.getModel(), "ticket.model");
  to.variant.value = in.digest(from.getVariant(), "ticket.variant");
  to.expires_at = in.time(from.getExpiresAt(), "ticket.expires_at");
  to.mac = in.label(from.getMac(), "ticket.mac");
}

void write(wire::AttemptMeasurement::Builder to, const attempt_measurement& from, outgoing& out) {
  write(to.initUsage(), from.usage);
  to.setFirstTokenUs(out.duration(from.first_token_us, "attempt_measurement.first_token_us"));
  to.setTotalUs(out.duration(from.total_us, "attempt_measurement.total_us"));
  to.setBatch(from.batch);
  to.setEngineQueueUs(out.duration(from.engine_queue_us, "attempt_measurement.engine_queue_us"));
  if (from.energy_mj)
    to.getEnergyMj().setEnergy(*from.energy_mj);
  if (from.cost_micros)
    to.getCostMicros().setCost(*from.cost_micros);
}

void read(wire::AttemptMeasurement::Reader from, attempt_measurement& to, incoming& in) {
  read(from.getUsage(), to.usage);
  to.first_token_us = in.duration(from.getFirstTokenUs(), "attempt_measurement.first_token_us");
  to.total_us = in.duration(from.getTotalUs(), "attempt_measurement.total_us");
  to.batch = from.getBatch();
  to.engine_queue_us = in.duration(from.getEngineQueueUs(), "attempt_measurement.engine_queue_us");
  if (from.getEnergyMj().isEnergy())
    to.energy_mj = from.getEnergyMj().getEnergy();
  if (from.getCostMicros().isCost())
    to.cost_micros = from.getCostMicros().getCost();
}

} // namespace consort::messages
