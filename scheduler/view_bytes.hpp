// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How many bytes a row of a snapshot takes on the wire, at most: what its values take here, where
/// a text costs 32 bytes beside its characters and there 16, and so on for lists and maps. Pure
/// functions, for filling pages; the codec's tests hold them against what is really encoded.
///
/// `texts_of` is what hangs off a value, `bytes_of` the value and all that hangs off it.

#include "scheduler/view.hpp"

namespace consort::core {

// --- what hangs off a value ---

[[nodiscard]] inline std::size_t texts_of(const std::string& text) {
  return text.size();
}
template <class Tag>
[[nodiscard]] std::size_t texts_of(const strong_name<Tag>& name) {
  return name.value.size();
}
/// Of its buckets too, which are numbers.
[[nodiscard]] inline std::size_t texts_of(const build_profile& one) {
  return one.name.size() + one.target.size() + one.compiler.size() + one.compiler_version.size()
         + one.flags.size() + one.dtype.size() + sizeof(std::uint32_t) * one.shape_buckets.size();
}
[[nodiscard]] inline std::size_t texts_of(const runnable_build& one) {
  std::size_t bytes = texts_of(one.profile) + one.reads.size() * sizeof(std::string);
  for (const auto& format : one.reads)
    bytes += format.size();
  return bytes;
}
[[nodiscard]] inline std::size_t texts_of(const memory_rule& one) {
  std::size_t bytes = one.formats.size() * sizeof(std::string);
  for (const auto& format : one.formats)
    bytes += format.size();
  return bytes;
}
[[nodiscard]] inline std::size_t texts_of(const model_variant& one) {
  std::size_t adapters = one.adapters.size() * sizeof(model_adapter);
  for (const auto& each : one.adapters)
    adapters += texts_of(each.name) + each.source.size() + texts_of(each.content);
  return adapters + one.format.size() + one.source.size() + texts_of(one.content) + one.shape.size()
         + one.quantization.size() + one.equivalence.size() + texts_of(one.tokenizer)
         + texts_of(one.chat_template);
}
/// With what the elements themselves take.
template <class Element>
[[nodiscard]] std::size_t list_of(const std::vector<Element>& list) {
  std::size_t bytes = list.size() * sizeof(Element);
  for (const auto& each : list)
    bytes += texts_of(each);
  return bytes;
}
/// Names and values, and the two strings that hold them.
[[nodiscard]] inline std::size_t map_of(const std::map<std::string, std::string>& map) {
  std::size_t bytes = map.size() * 2 * sizeof(std::string);
  for (const auto& [name, value] : map)
    bytes += name.size() + value.size();
  return bytes;
}
/// The list may have hundreds, of names that others gave.
[[nodiscard]] inline std::size_t prices_of(const price_list& prices) {
  std::size_t bytes = 0;
  for (const auto& [model, price] : prices)
    bytes += sizeof(model) + model.size() + sizeof(price);
  return bytes;
}

// --- rows, one for each list of a snapshot ---

[[nodiscard]] inline std::size_t bytes_of(const node_view& row) {
  return sizeof(row) + texts_of(row.node) + row.data_address.size() + list_of(row.toolchains)
         + map_of(row.attributes);
}
[[nodiscard]] inline std::size_t bytes_of(const device_view& row) {
  const auto& spec = row.spec;
  const auto& can = spec.capability;
  return sizeof(row) + texts_of(spec.id) + texts_of(spec.node) + spec.vendor.size()
         + spec.model.size() + spec.plugin.size() + spec.uuid.size() + texts_of(spec.parent)
         + list_of(spec.exclusive_siblings) + texts_of(spec.stages.prefill)
         + texts_of(spec.stages.decode) + spec.topology_group.size() + list_of(spec.tags)
         + map_of(spec.attributes) + list_of(can.dtypes) + list_of(can.formats)
         + list_of(can.build_profiles) + list_of(can.optimized_for) + list_of(can.adapter_formats)
         + list_of(can.caches) + list_of(can.memory_rules) + prices_of(can.prices)
         + row.reading.health_reason.size() + row.breaker.size() + list_of(row.loaded);
}
[[nodiscard]] inline std::size_t bytes_of(const replica_view& row) {
  return sizeof(row) + texts_of(row.model) + texts_of(row.leader) + list_of(row.devices)
         + row.state.size() + texts_of(row.artifact);
}
[[nodiscard]] inline std::size_t bytes_of(const model_view& row) {
  return sizeof(row) + texts_of(row.spec.name) + list_of(row.spec.aliases)
         + list_of(row.spec.variants);
}
[[nodiscard]] inline std::size_t bytes_of(const artifact_view& row) {
  return sizeof(row) + row.key.binds.size() + texts_of(row.key.profile) + texts_of(row.model)
         + texts_of(row.content) + texts_of(row.own) + list_of(row.nodes) + row.last_error.size()
         + map_of(row.quality);
}
[[nodiscard]] inline std::size_t bytes_of(const request_view& row) {
  return sizeof(row) + row.external_id.size() + texts_of(row.model) + row.state.size()
         + texts_of(row.device) + texts_of(row.tenant) + row.priority.size();
}

} // namespace consort::core
