// SPDX-License-Identifier: Apache-2.0
// Devices, capacities, allocations.
#include "messages/wire_types.hpp"

namespace consort::messages {

void read_words(texts::Reader from, std::vector<std::string>& to, std::string_view field,
                incoming& in) {
  read_list(in, from, to, limits::words_max, field,
            [&](capnp::Text::Reader word, std::string& value) { value = in.label(word, field); });
}

void write_map(attributes::Builder to, const std::map<std::string, std::string>& from,
               std::string_view field, outgoing& out) {
  unsigned at = 0;
  for (const auto& [name, value] : from) {
    auto entry = to[at++];
    entry.setName(out.label(name, field));
    entry.setValue(out.sentence(value));
  }
}

void read_map(attributes::Reader from, std::map<std::string, std::string>& to,
              std::string_view field, incoming& in) {
  if (!in.check_count(from.size(), limits::attributes_max, field))
    return;
  for (const auto& entry : from) {
    auto name = in.label(entry.getName(), field);
    auto value = in.text(entry.getValue(), field);
    if (!to.emplace(std::move(name), std::move(value)).second)
      in.fail(field, "has a name twice");
    if (!in.ok())
      return;
  }
}

namespace {

void write(wire::CapacityFigure::Builder to, const capacity_figure& from, outgoing& out) {
  if (from.value)
    to.getFigure().setValue(*from.value);
  to.setSource(out.word<wire::FigureSource>(from.source, "capacity_figure.source"));
  to.setAgeUs(out.duration(from.age_us, "capacity_figure.age_us"));
}

void read(wire::CapacityFigure::Reader from, capacity_figure& to, incoming& in) {
  if (from.getFigure().isValue())
    to.value = from.getFigure().getValue();
  to.source = in.word<figure_source>(from.getSource(), "capacity_figure.source");
  to.age_us = in.duration(from.getAgeUs(), "capacity_figure.age_us");
}

void write(wire::SpeedSpec::Builder to, const speed_spec& from, outgoing& out) {
  to.setPrefillTokensPerS(from.prefill_tokens_per_s);
  to.setDecodeTokensPerS(from.decode_tokens_per_s);
  to.setDecodeBatchGainPm(from.decode_batch_gain_pm);
  to.setLoadUs(out.duration(from.load_us, "speed_spec.load_us"));
  to.setTdpMw(from.tdp_mw);
  to.setIdleMw(from.idle_mw);
  to.setCostMicrosPerHour(from.cost_micros_per_hour);
}

void read(wire::SpeedSpec::Reader from, speed_spec& to, incoming& in) {
  to.prefill_tokens_per_s = from.getPrefillTokensPerS();
  to.decode_tokens_per_s = from.getDecodeTokensPerS();
  to.decode_batch_gain_pm = from.getDecodeBatchGainPm();
  to.load_us = in.duration(from.getLoadUs(), "speed_spec.load_us");
  to.tdp_mw = from.getTdpMw();
  to.idle_mw = from.getIdleMw();
  to.cost_micros_per_hour = from.getCostMicrosPerHour();
}

void write_prices(outgoing& out, const price_list& from, wire::DeviceCapability::Builder to) {
  constexpr auto field = "device_capability.prices";
  if (from.empty() || !out.check_count(from.size(), limits::prices_max, field))
    return;
  auto prices = to.initPrices(static_cast<unsigned>(from.size()));
  unsigned at = 0;
  for (const auto& [model, price] : from) {
    auto one = prices[at++];
    one.setModel(out.label(model, field));
    one.setPromptMicrosPerMtok(price.prompt_micros_per_mtok);
    one.setCachedMicrosPerMtok(price.cached_micros_per_mtok);
    one.setCompletionMicrosPerMtok(price.completion_micros_per_mtok);
  }
}

void read_prices(incoming& in, capnp::List<wire::TokenPrice>::Reader from, price_list& to) {
  constexpr auto field = "device_capability.prices";
  if (!in.check_count(from.size(), limits::prices_max, field))
    return;
  for (const auto& one : from) {
    const token_price price{one.getPromptMicrosPerMtok(), one.getCachedMicrosPerMtok(),
                            one.getCompletionMicrosPerMtok()};
    if (!to.emplace(in.label(one.getModel(), field), price).second)
      in.fail(field, "has a model twice");
    if (!in.ok())
      return;
  }
}

void write(wire::MemoryRule::Builder to, const memory_rule& from, outgoing& out) {
  write_words(out, from.formats, "memory_rule.formats",
              [&](unsigned size) { return to.initFormats(size); });
  to.setSharePm(from.share_pm);
}

void read(wire::MemoryRule::Reader from, memory_rule& to, incoming& in) {
  read_words(from.getFormats(), to.formats, "memory_rule.formats", in);
  to.share_pm = from.getSharePm();
}

void write(wire::DeviceCapability::Builder to, const device_capability& from, outgoing& out) {
  to.setMaxSequences(from.max_sequences);
  to.setMaxContextTokens(from.max_context_tokens);
  write_words(out, from.dtypes, "device_capability.dtypes",
              [&](unsigned size) { return to.initDtypes(size); });
  write_words(out, from.formats, "device_capability.formats",
              [&](unsigned size) { return to.initFormats(size); });
  write_profiles(out, from.build_profiles, "device_capability.build_profiles",
                 [&](unsigned size) { return to.initBuildProfiles(size); });
  write_words(out, from.optimized_for, "device_capability.optimized_for",
              [&](unsigned size) { return to.initOptimizedFor(size); });
  write(to.initRuntime(), from.runtime, out);
  to.setDevicesMax(from.devices_max);
  to.setNodesMax(from.nodes_max);
  to.setLoadLimitUs(out.duration(from.load_limit_us, "device_capability.load_limit_us"));
  write_words(out, from.adapter_formats, "device_capability.adapter_formats",
              [&](unsigned size) { return to.initAdapterFormats(size); });
  to.setAdaptersMax(from.adapters_max);
  write_profiles(out, from.caches, "device_capability.caches",
                 [&](unsigned size) { return to.initCaches(size); });
  write_prices(out, from.prices, to);
  write_list(
      out, from.memory_rules, limits::profiles_max, "device_capability.memory_rules",
      [&](unsigned size) { return to.initMemoryRules(size); },
      [&](auto at, const memory_rule& one) { write(at, one, out); });
}

void read(wire::DeviceCapability::Reader from, device_capability& to, incoming& in) {
  to.max_sequences = from.getMaxSequences();
  to.max_context_tokens = from.getMaxContextTokens();
  read_words(from.getDtypes(), to.dtypes, "device_capability.dtypes", in);
  read_words(from.getFormats(), to.formats, "device_capability.formats", in);
  read_profiles(in, from.getBuildProfiles(), to.build_profiles, "device_capability.build_profiles");
  read_words(from.getOptimizedFor(), to.optimized_for, "device_capability.optimized_for", in);
  read(from.getRuntime(), to.runtime, in);
  to.devices_max = from.getDevicesMax();
  to.nodes_max = from.getNodesMax();
  to.load_limit_us = in.duration(from.getLoadLimitUs(), "device_capability.load_limit_us");
  read_words(from.getAdapterFormats(), to.adapter_formats, "device_capability.adapter_formats", in);
  to.adapters_max = from.getAdaptersMax();
  read_profiles(in, from.getCaches(), to.caches, "device_capability.caches");
  read_prices(in, from.getPrices(), to.prices);
  read_list(in, from.getMemoryRules(), to.memory_rules, limits::profiles_max,
            "device_capability.memory_rules",
            [&](auto rule, memory_rule& value) { read(rule, value, in); });
}

} // namespace

void write(wire::CapacityVector::Builder to, const capacity_vector& from, outgoing& out) {
  write(to.initSequences(), from.sequences, out);
  write(to.initKvTokens(), from.kv_tokens, out);
  write(to.initStepTokens(), from.step_tokens, out);
  write(to.initAdapterSlots(), from.adapter_slots, out);
  write(to.initRequestsPerMin(), from.requests_per_min, out);
  write(to.initTokensPerMin(), from.tokens_per_min, out);
  write(to.initForeignSequences(), from.foreign_sequences, out);
  write_numbers(out, from.shape_buckets, limits::words_max, "capacity_vector.shape_buckets",
                [&](unsigned size) { return to.initShapeBuckets(size); });
}

void read(wire::CapacityVector::Reader from, capacity_vector& to, incoming& in) {
  read(from.getSequences(), to.sequences, in);
  read(from.getKvTokens(), to.kv_tokens, in);
  read(from.getStepTokens(), to.step_tokens, in);
  read(from.getAdapterSlots(), to.adapter_slots, in);
  read(from.getRequestsPerMin(), to.requests_per_min, in);
  read(from.getTokensPerMin(), to.tokens_per_min, in);
  read(from.getForeignSequences(), to.foreign_sequences, in);
  read_numbers(in, from.getShapeBuckets(), to.shape_buckets, limits::words_max,
               "capacity_vector.shape_buckets");
}

void write(wire::RuntimeCapabilities::Builder to, const runtime_capabilities& from, outgoing& out) {
  to.setResume(out.word<wire::ResumeSupport>(from.resume, "runtime_capabilities.resume"));
  to.setContextTokens(from.context_tokens);
  to.setPromptTokens(from.prompt_tokens);
  to.setCancel(from.cancel);
  to.setPriority(from.priority);
  to.setPreempt(from.preempt);
  to.setTokenize(from.tokenize);
  to.setStreaming(from.streaming);
  to.setAdapters(from.adapters);
  to.setEmbeddings(from.embeddings);
  to.setStructuredOutput(from.structured_output);
  to.setRefuses(from.refuses);
}

void read(wire::RuntimeCapabilities::Reader from, runtime_capabilities& to, incoming& in) {
  to.resume = in.word<resume_support>(from.getResume(), "runtime_capabilities.resume");
  to.context_tokens = from.getContextTokens();
  to.prompt_tokens = from.getPromptTokens();
  to.cancel = from.getCancel();
  to.priority = from.getPriority();
  to.preempt = from.getPreempt();
  to.tokenize = from.getTokenize();
  to.streaming = from.getStreaming();
  to.adapters = from.getAdapters();
  to.embeddings = from.getEmbeddings();
  to.structured_output = from.getStructuredOutput();
  to.refuses = from.getRefuses();
}

void write(wire::BuildProfile::Builder to, const build_profile& from, outgoing& out) {
  to.setName(out.label(from.name, "build_profile.name"));
  to.setTarget(out.label(from.target, "build_profile.target"));
  to.setCompiler(out.label(from.compiler, "build_profile.compiler"));
  to.setCompilerVersion(out.label(from.compiler_version, "build_profile.compiler_version"));
  to.setFlags(out.text(from.flags, "build_profile.flags"));
  to.setDegree(from.degree);
  to.setDtype(out.label(from.dtype, "build_profile.dtype"));
  write_numbers(out, from.shape_buckets, limits::words_max, "build_profile.shape_buckets",
                [&](unsigned size) { return to.initShapeBuckets(size); });
  to.setNeedsDevice(from.needs_device);
}

void read(wire::BuildProfile::Reader from, build_profile& to, incoming& in) {
  to.name = in.label(from.getName(), "build_profile.name");
  to.target = in.label(from.getTarget(), "build_profile.target");
  to.compiler = in.label(from.getCompiler(), "build_profile.compiler");
  to.compiler_version = in.label(from.getCompilerVersion(), "build_profile.compiler_version");
  to.flags = in.text(from.getFlags(), "build_profile.flags");
  to.degree = from.getDegree();
  to.dtype = in.label(from.getDtype(), "build_profile.dtype");
  read_numbers(in, from.getShapeBuckets(), to.shape_buckets, limits::words_max,
               "build_profile.shape_buckets");
  to.needs_device = from.getNeedsDevice();
}

void write(wire::BuildProfile::Builder to, const runnable_build& from, outgoing& out) {
  write(to, from.profile, out);
  write_words(out, from.reads, "build_profile.reads",
              [&](unsigned size) { return to.initReads(size); });
  to.setBinds(out.word<wire::ArtifactKind>(from.binds, "build_profile.binds"));
  to.setAdapters(from.adapters);
  to.setOlder(out.word<wire::OlderEngines>(from.older, "build_profile.older"));
  to.setMemorySharePm(from.memory_share_pm);
}

void read(wire::BuildProfile::Reader from, runnable_build& to, incoming& in) {
  read(from, to.profile, in);
  read_words(from.getReads(), to.reads, "build_profile.reads", in);
  to.binds = in.word<artifact_kind>(from.getBinds(), "build_profile.binds");
  to.adapters = from.getAdapters();
  to.older = in.word<older_engines>(from.getOlder(), "build_profile.older");
  to.memory_share_pm = from.getMemorySharePm();
}

void write(wire::DeviceSpec::Builder to, const device_spec& from, outgoing& out) {
  to.setId(out.name(from.id.value, "device_spec.id"));
  to.setNode(out.name(from.node.value, "device_spec.node"));
  to.setType(out.word<wire::ResourceType>(from.type, "device_spec.type"));
  to.setVendor(out.label(from.vendor, "device_spec.vendor"));
  to.setModel(out.label(from.model, "device_spec.model"));
  to.setPlugin(out.label(from.plugin, "device_spec.plugin"));
  to.setUuid(out.label(from.uuid, "device_spec.uuid"));
  to.setSimulated(from.simulated);
  to.setParent(out.name_or_none(from.parent.value, "device_spec.parent"));
  const std::string_view siblings = "device_spec.exclusive_siblings";
  auto list = to.initExclusiveSiblings(
      out.count(from.exclusive_siblings.size(), limits::words_max, siblings));
  for (unsigned at = 0; at < list.size(); ++at)
    list.set(at, out.name(from.exclusive_siblings[at].value, siblings));
  to.setTopologyGroup(out.label(from.topology_group, "device_spec.topology_group"));
  to.setMemoryBytes(from.memory_bytes);
  write(to.initCapability(), from.capability, out);
  write(to.initSpec(), from.spec, out);
  write_words(out, from.tags, "device_spec.tags", [&](unsigned size) { return to.initTags(size); });
  write_attributes(out, from.attributes, "device_spec.attributes",
                   [&](unsigned size) { return to.initAttributes(size); });
  if (from.stages.empty())
    return;
  auto stages = to.initStages();
  stages.setPrefill(out.name(from.stages.prefill.value, "device_spec.stages.prefill"));
  stages.setDecode(out.name(from.stages.decode.value, "device_spec.stages.decode"));
  stages.setTransferBytesPerS(from.stages.transfer_bytes_per_s);
  stages.setTransferUs(out.duration(from.stages.transfer_us, "device_spec.stages.transfer_us"));
}

void read(wire::DeviceSpec::Reader from, device_spec& to, incoming& in) {
  to.id.value = in.name(from.getId(), "device_spec.id");
  to.node.value = in.name(from.getNode(), "device_spec.node");
  to.type = in.word<resource_type>(from.getType(), "device_spec.type");
  to.vendor = in.label(from.getVendor(), "device_spec.vendor");
  to.model = in.label(from.getModel(), "device_spec.model");
  to.plugin = in.label(from.getPlugin(), "device_spec.plugin");
  to.uuid = in.label(from.getUuid(), "device_spec.uuid");
  to.simulated = from.getSimulated();
  to.parent.value = in.name_or_none(from.getParent(), "device_spec.parent");
  const std::string_view siblings = "device_spec.exclusive_siblings";
  read_list(in, from.getExclusiveSiblings(), to.exclusive_siblings, limits::words_max, siblings,
            [&](capnp::Text::Reader id, device_id& value) { value.value = in.name(id, siblings); });
  to.topology_group = in.label(from.getTopologyGroup(), "device_spec.topology_group");
  to.memory_bytes = from.getMemoryBytes();
  read(from.getCapability(), to.capability, in);
  read(from.getSpec(), to.spec, in);
  read_words(from.getTags(), to.tags, "device_spec.tags", in);
  read_map(from.getAttributes(), to.attributes, "device_spec.attributes", in);
  if (!from.hasStages())
    return;
  const auto stages = from.getStages();
  to.stages.prefill.value = in.name(stages.getPrefill(), "device_spec.stages.prefill");
  to.stages.decode.value = in.name(stages.getDecode(), "device_spec.stages.decode");
  to.stages.transfer_bytes_per_s = stages.getTransferBytesPerS();
  to.stages.transfer_us = in.duration(stages.getTransferUs(), "device_spec.stages.transfer_us");
}

void write(wire::DeviceReading::Builder to, const device_reading& from, outgoing& out) {
  if (from.memory_used_bytes)
    to.getMemoryUsedBytes().setMemory(*from.memory_used_bytes);
  if (from.utilization_pm)
    to.getUtilizationPm().setUtilization(out.number<std::uint32_t>(
        *from.utilization_pm, 0, limits::load_pm_max, "device_reading.utilization_pm"));
  if (from.power_mw)
    to.getPowerMw().setPower(*from.power_mw);
  if (from.energy_mj)
    to.getEnergyMj().setEnergy(*from.energy_mj);
  if (from.temperature_mc)
    to.getTemperatureMc().setTemperature(
        out.number(*from.temperature_mc, limits::temperature_mc_min, limits::temperature_mc_max,
                   "device_reading.temperature_mc"));
  to.setHealth(out.word<wire::DeviceHealth>(from.health, "device_reading.health"));
  if (!from.health_reason.empty())
    to.setHealthReason(out.sentence(from.health_reason));
  if (from.cost_micros)
    to.getCostMicros().setCost(*from.cost_micros);
  if (from.charged_mj)
    to.getChargedMj().setCharged(*from.charged_mj);
  if (from.idle_mj)
    to.getIdleMj().setIdle(*from.idle_mj);
  if (from.engine) {
    auto engine = to.initEngine();
    engine.setTokens(from.engine->tokens);
    engine.setSteps(from.engine->steps);
    engine.setCancelled(from.engine->cancelled);
    engine.setSequencesRunning(from.engine->sequences_running);
    engine.setStagesMissed(from.engine->stages_missed);
  }
}

void read(wire::DeviceReading::Reader from, device_reading& to, incoming& in) {
  if (from.getMemoryUsedBytes().isMemory())
    to.memory_used_bytes = from.getMemoryUsedBytes().getMemory();
  if (from.getUtilizationPm().isUtilization())
    to.utilization_pm
        = in.number<std::uint32_t>(from.getUtilizationPm().getUtilization(), 0, limits::load_pm_max,
                                   "device_reading.utilization_pm");
  if (from.getPowerMw().isPower())
    to.power_mw = from.getPowerMw().getPower();
  if (from.getEnergyMj().isEnergy())
    to.energy_mj = from.getEnergyMj().getEnergy();
  if (from.getTemperatureMc().isTemperature())
    to.temperature_mc
        = in.number(from.getTemperatureMc().getTemperature(), limits::temperature_mc_min,
                    limits::temperature_mc_max, "device_reading.temperature_mc");
  to.health = in.word<device_health>(from.getHealth(), "device_reading.health");
  to.health_reason = in.text(from.getHealthReason(), "device_reading.health_reason");
  if (from.getCostMicros().isCost())
    to.cost_micros = from.getCostMicros().getCost();
  if (from.getChargedMj().isCharged())
    to.charged_mj = from.getChargedMj().getCharged();
  if (from.getIdleMj().isIdle())
    to.idle_mj = from.getIdleMj().getIdle();
  if (from.hasEngine()) {
    const auto engine = from.getEngine();
    to.engine = {engine.getTokens(), engine.getSteps(), engine.getCancelled(),
                 engine.getSequencesRunning(), engine.getStagesMissed()};
  }
}

void write(wire::Allocation::Builder to, const allocation& from, outgoing& out) {
  to.setId(from.id.value);
  to.setFence(from.fence.value);
  write_list(
      out, from.shares, limits::shares_max, "allocation.shares",
      [&](unsigned size) { return to.initShares(size); },
      [&](wire::DeviceShare::Builder share, const device_share& value) {
        share.setDevice(out.name(value.device.value, "device_share.device"));
        share.setWhole(value.whole);
        share.setMemoryBytes(value.memory_bytes);
      });
  to.setTopology(out.label(from.topology, "allocation.topology"));
  to.setOwnerInstance(from.owner_instance.value);
  to.setOwnerCompile(from.owner_compile.value);
  to.setState(out.word<wire::AllocationState>(from.state, "allocation.state"));
  to.setMaster(out.label(from.master, "allocation.master"));
}

void read(wire::Allocation::Reader from, allocation& to, incoming& in) {
  to.id = allocation_id(from.getId());
  to.fence = epoch(from.getFence());
  read_list(in, from.getShares(), to.shares, limits::shares_max, "allocation.shares",
            [&](wire::DeviceShare::Reader share, device_share& value) {
              value.device.value = in.name(share.getDevice(), "device_share.device");
              value.whole = share.getWhole();
              value.memory_bytes = share.getMemoryBytes();
            });
  to.topology = in.label(from.getTopology(), "allocation.topology");
  to.owner_instance = instance_id(from.getOwnerInstance());
  to.owner_compile = compile_id(from.getOwnerCompile());
  to.state = in.word<allocation_state>(from.getState(), "allocation.state");
  to.master = in.label(from.getMaster(), "allocation.master");
}

void write(wire::Parallelism::Builder to, const parallelism& from) {
  to.setTp(from.tp);
  to.setPp(from.pp);
  to.setDp(from.dp);
  to.setEp(from.ep);
}

void read(wire::Parallelism::Reader from, parallelism& to) {
  to.tp = from.getTp();
  to.pp = from.getPp();
  to.dp = from.getDp();
  to.ep = from.getEp();
}

} // namespace consort::messages
