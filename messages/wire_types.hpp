// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The vocabulary's structs to and from common.capnp: one `write` and one `read` each. Internal to
/// messages/. `write` fills a fresh builder; `read` fills a fresh value. Violations are recorded in
/// the wire_check that is passed along.

#include "messages/common.capnp.h"
#include "messages/wire_io.hpp"
#include "scheduler/limits.hpp"

#include <map>

namespace consort::messages {

// --- enums: as many enumerators on the wire as here, in the same order ---

template <>
inline constexpr recovery last_enumerator<recovery> = recovery::bug;
template <>
inline constexpr resource_type last_enumerator<resource_type> = resource_type::hybrid;
template <>
inline constexpr figure_source last_enumerator<figure_source> = figure_source::engine;
template <>
inline constexpr resume_support last_enumerator<resume_support> = resume_support::tokens;
template <>
inline constexpr device_health last_enumerator<device_health> = device_health::unhealthy;
template <>
inline constexpr allocation_state last_enumerator<allocation_state> = allocation_state::releasing;
template <>
inline constexpr launch_kind last_enumerator<launch_kind> = launch_kind::attach;
template <>
inline constexpr ownership_kind last_enumerator<ownership_kind> = ownership_kind::shared;
template <>
inline constexpr artifact_kind last_enumerator<artifact_kind> = artifact_kind::cache;
template <>
inline constexpr older_engines last_enumerator<older_engines> = older_engines::any;
template <>
inline constexpr artifact_state last_enumerator<artifact_state> = artifact_state::failed;
template <>
inline constexpr request_kind last_enumerator<request_kind> = request_kind::embedding;
template <>
inline constexpr priority_class last_enumerator<priority_class> = priority_class::batch;
template <>
inline constexpr request_outcome last_enumerator<request_outcome> = request_outcome::expired;

// --- collections ---

/// Lists of short texts, and maps as lists of their entries.
using texts = capnp::List<capnp::Text>;
using attributes = capnp::List<wire::Attribute>;

/// Words (tags, formats) as labels.
void read_words(texts::Reader from, std::vector<std::string>& to, std::string_view field,
                incoming& in);
/// Entries in order of name. Requires: `to` has as many entries as `from`.
void write_map(attributes::Builder to, const std::map<std::string, std::string>& from,
               std::string_view field, outgoing& out);
/// A name that occurs twice is a violation.
void read_map(attributes::Reader from, std::map<std::string, std::string>& to,
              std::string_view field, incoming& in);

/// `init(count)` makes the list in its struct; here and below.
template <class Init>
void write_words(outgoing& out, const std::vector<std::string>& words, std::string_view field,
                 Init init) {
  auto list = init(out.count(words.size(), limits::words_max, field));
  for (unsigned at = 0; at < list.size(); ++at)
    list.set(at, out.label(words[at], field));
}
/// A map is counted before its list is made, so that its size is never more than a limit.
template <class Init>
void write_attributes(outgoing& out, const std::map<std::string, std::string>& map,
                      std::string_view field, Init init) {
  auto list = init(out.count(map.size(), limits::attributes_max, field));
  if (list.size() != 0)
    write_map(list, map, field, out);
}

// --- structs, in the order of common.capnp ---
//
// Those without a wire_check have nothing that could be out of range.

void write(wire::RequestId::Builder to, const request_id& from);
void read(wire::RequestId::Reader from, request_id& to);
void write(wire::AttemptId::Builder to, const attempt_id& from);
void read(wire::AttemptId::Reader from, attempt_id& to);
void write(wire::Error::Builder to, const error& from, outgoing& out);
void read(wire::Error::Reader from, error& to, incoming& in);

// Resources.

void write(wire::CapacityVector::Builder to, const capacity_vector& from, outgoing& out);
void read(wire::CapacityVector::Reader from, capacity_vector& to, incoming& in);
void write(wire::RuntimeCapabilities::Builder to, const runtime_capabilities& from, outgoing& out);
void read(wire::RuntimeCapabilities::Reader from, runtime_capabilities& to, incoming& in);
void write(wire::BuildProfile::Builder to, const build_profile& from, outgoing& out);
void read(wire::BuildProfile::Reader from, build_profile& to, incoming& in);
void write(wire::BuildProfile::Builder to, const runnable_build& from, outgoing& out);
void read(wire::BuildProfile::Reader from, runnable_build& to, incoming& in);
void write(wire::DeviceSpec::Builder to, const device_spec& from, outgoing& out);
void read(wire::DeviceSpec::Reader from, device_spec& to, incoming& in);
void write(wire::DeviceReading::Builder to, const device_reading& from, outgoing& out);
void read(wire::DeviceReading::Reader from, device_reading& to, incoming& in);
void write(wire::Allocation::Builder to, const allocation& from, outgoing& out);
void read(wire::Allocation::Reader from, allocation& to, incoming& in);
void write(wire::Parallelism::Builder to, const parallelism& from);
void read(wire::Parallelism::Reader from, parallelism& to);

// Models and artifacts.

void write(wire::ModelAdapter::Builder to, const model_adapter& from, outgoing& out);
void read(wire::ModelAdapter::Reader from, model_adapter& to, incoming& in);
void write(wire::ModelVariant::Builder to, const model_variant& from, outgoing& out);
void read(wire::ModelVariant::Reader from, model_variant& to, incoming& in);
void write(wire::ModelSpec::Builder to, const model_spec& from, outgoing& out);
void read(wire::ModelSpec::Reader from, model_spec& to, incoming& in);
void write(wire::ArtifactKey::Builder to, const artifact_key& from, outgoing& out);
void read(wire::ArtifactKey::Reader from, artifact_key& to, incoming& in);
void write(wire::ArtifactRecord::Builder to, const artifact_record& from, outgoing& out);
void read(wire::ArtifactRecord::Reader from, artifact_record& to, incoming& in);

// Requests, tickets and what attempts measured.

void write(wire::RequestMeta::Builder to, const request_meta& from, outgoing& out);
void read(wire::RequestMeta::Reader from, request_meta& to, incoming& in);
void write(wire::Ticket::Builder to, const ticket& from, outgoing& out);
void read(wire::Ticket::Reader from, ticket& to, incoming& in);
void write(wire::TokenUsage::Builder to, const token_usage& from);
void read(wire::TokenUsage::Reader from, token_usage& to);
void write(wire::AttemptMeasurement::Builder to, const attempt_measurement& from, outgoing& out);
void read(wire::AttemptMeasurement::Reader from, attempt_measurement& to, incoming& in);

/// Build profiles, shared by devices and nodes.
template <class Profile, class Init>
void write_profiles(outgoing& out, const std::vector<Profile>& profiles, std::string_view field,
                    Init init) {
  write_list(out, profiles, limits::profiles_max, field, init,
             [&](auto to, const Profile& from) { write(to, from, out); });
}
template <class Profile>
void read_profiles(incoming& in, capnp::List<wire::BuildProfile>::Reader from,
                   std::vector<Profile>& to, std::string_view field) {
  read_list(in, from, to, limits::profiles_max, field,
            [&](auto element, Profile& value) { read(element, value, in); });
}

/// LoRA adapters, of a variant or loaded.
template <class Init>
void write_adapters(outgoing& out, const std::vector<model_adapter>& adapters,
                    std::string_view field, Init init) {
  write_list(out, adapters, core::limits::adapters_max, field, init,
             [&](auto to, const model_adapter& from) { write(to, from, out); });
}
inline void read_adapters(incoming& in, capnp::List<wire::ModelAdapter>::Reader from,
                          std::vector<model_adapter>& to, std::string_view field) {
  read_list(in, from, to, core::limits::adapters_max, field,
            [&](auto element, model_adapter& value) { read(element, value, in); });
}

} // namespace consort::messages
