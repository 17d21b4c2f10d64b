// SPDX-License-Identifier: Apache-2.0
// Models, artifacts, errors.
#include "messages/wire_types.hpp"

namespace consort::messages {

void write(wire::Error::Builder to, const error& from, outgoing& out) {
  to.setAction(out.word<wire::Recovery>(from.action, "error.action"));
  to.setCode(out.label(from.code, "error.code"));
  to.setMessage(out.sentence(from.message));
}

void read(wire::Error::Reader from, error& to, incoming& in) {
  to.action = in.word<recovery>(from.getAction(), "error.action");
  to.code = in.label(from.getCode(), "error.code");
  to.message = in.text(from.getMessage(), "error.message");
}

void write(wire::ModelAdapter::Builder to, const model_adapter& from, outgoing& out) {
  to.setName(out.label(from.name.value, "model_adapter.name"));
  to.setSource(out.text(from.source, "model_adapter.source"));
  to.setContent(out.digest(from.content, "model_adapter.content"));
  to.setRank(from.rank);
}

void read(wire::ModelAdapter::Reader from, model_adapter& to, incoming& in) {
  to.name.value = in.label(from.getName(), "model_adapter.name");
  to.source = in.text(from.getSource(), "model_adapter.source");
  to.content.value = in.digest(from.getContent(), "model_adapter.content");
  to.rank = from.getRank();
}

void write(wire::ModelVariant::Builder to, const model_variant& from, outgoing& out) {
  to.setFormat(out.label(from.format, "model_variant.format"));
  to.setSource(out.text(from.source, "model_variant.source"));
  to.setContent(out.digest(from.content, "model_variant.content"));
  to.setShape(out.label(from.shape, "model_variant.shape"));
  to.setQuantization(out.label(from.quantization, "model_variant.quantization"));
  to.setEquivalence(out.label(from.equivalence, "model_variant.equivalence"));
  to.setTokenizer(out.digest(from.tokenizer, "model_variant.tokenizer"));
  to.setChatTemplate(out.digest(from.chat_template, "model_variant.chat_template"));
  to.setWeightBytes(from.weight_bytes);
  to.setKvBytesPerToken(from.kv_bytes_per_token);
  to.setContextTokens(from.context_tokens);
  write_adapters(out, from.adapters, "model_variant.adapters",
                 [&](unsigned size) { return to.initAdapters(size); });
  to.setTokenBytesMax(from.token_bytes_max);
}

void read(wire::ModelVariant::Reader from, model_variant& to, incoming& in) {
  to.format = in.label(from.getFormat(), "model_variant.format");
  to.source = in.text(from.getSource(), "model_variant.source");
  to.content.value = in.digest(from.getContent(), "model_variant.content");
  to.shape = in.label(from.getShape(), "model_variant.shape");
  to.quantization = in.label(from.getQuantization(), "model_variant.quantization");
  to.equivalence = in.label(from.getEquivalence(), "model_variant.equivalence");
  to.tokenizer.value = in.digest(from.getTokenizer(), "model_variant.tokenizer");
  to.chat_template.value = in.digest(from.getChatTemplate(), "model_variant.chat_template");
  to.weight_bytes = from.getWeightBytes();
  to.kv_bytes_per_token = from.getKvBytesPerToken();
  to.context_tokens = from.getContextTokens();
  read_adapters(in, from.getAdapters(), to.adapters, "model_variant.adapters");
  to.token_bytes_max = from.getTokenBytesMax();
}

void write(wire::ModelSpec::Builder to, const model_spec& from, outgoing& out) {
  to.setName(out.label(from.name.value, "model_spec.name"));
  auto aliases
      = to.initAliases(out.count(from.aliases.size(), limits::words_max, "model_spec.aliases"));
  for (unsigned at = 0; at < aliases.size(); ++at)
    aliases.set(at, out.label(from.aliases[at].value, "model_spec.aliases"));
  write_list(
      out, from.variants, limits::variants_max, "model_spec.variants",
      [&](unsigned size) { return to.initVariants(size); },
      [&](auto variant, const model_variant& value) { write(variant, value, out); });
  to.setReplicasMin(from.replicas_min);
  to.setReplicasMax(from.replicas_max);
  to.setIdleTtlUs(out.duration(from.idle_ttl_us, "model_spec.idle_ttl_us"));
  to.setDevicesPerInstance(from.devices_per_instance);
  to.setPolicyText(out.label(from.policy.value, "model_spec.policy"));
}

void read(wire::ModelSpec::Reader from, model_spec& to, incoming& in) {
  to.name.value = in.label(from.getName(), "model_spec.name");
  read_list(in, from.getAliases(), to.aliases, limits::words_max, "model_spec.aliases",
            [&](capnp::Text::Reader alias, model_name& value) {
              value.value = in.label(alias, "model_spec.aliases");
            });
  read_list(in, from.getVariants(), to.variants, limits::variants_max, "model_spec.variants",
            [&](auto variant, model_variant& value) { read(variant, value, in); });
  to.replicas_min = from.getReplicasMin();
  to.replicas_max = from.getReplicasMax();
  to.idle_ttl_us = in.duration(from.getIdleTtlUs(), "model_spec.idle_ttl_us");
  to.devices_per_instance = from.getDevicesPerInstance();
  to.policy.value = in.label(from.getPolicyText(), "model_spec.policy");
}

void write(wire::ArtifactKey::Builder to, const artifact_key& from, outgoing& out) {
  to.setKind(out.word<wire::ArtifactKind>(from.kind, "artifact_key.kind"));
  to.setBinds(out.label(from.binds, "artifact_key.binds"));
  write(to.initProfile(), from.profile, out);
}

void read(wire::ArtifactKey::Reader from, artifact_key& to, incoming& in) {
  to.kind = in.word<artifact_kind>(from.getKind(), "artifact_key.kind");
  to.binds = in.label(from.getBinds(), "artifact_key.binds");
  read(from.getProfile(), to.profile, in);
}

void write(wire::ArtifactRecord::Builder to, const artifact_record& from, outgoing& out) {
  write(to.initKey(), from.key, out);
  to.setContent(out.digest(from.content, "artifact_record.content"));
  to.setNode(out.name_or_none(from.node.value, "artifact_record.node"));
  to.setSizeBytes(from.size_bytes);
  to.setBuildUs(out.duration(from.build_us, "artifact_record.build_us"));
  write_attributes(out, from.quality, "artifact_record.quality",
                   [&](unsigned size) { return to.initQuality(size); });
  to.setHeld(from.held);
  to.setOwn(out.digest(from.own, "artifact_record.own"));
}

void read(wire::ArtifactRecord::Reader from, artifact_record& to, incoming& in) {
  read(from.getKey(), to.key, in);
  to.content.value = in.digest(from.getContent(), "artifact_record.content");
  to.node.value = in.name_or_none(from.getNode(), "artifact_record.node");
  to.size_bytes = from.getSizeBytes();
  to.build_us = in.duration(from.getBuildUs(), "artifact_record.build_us");
  read_map(from.getQuality(), to.quality, "artifact_record.quality", in);
  to.held = from.getHeld();
  to.own.value = in.digest(from.getOwn(), "artifact_record.own");
}

} // namespace consort::messages
