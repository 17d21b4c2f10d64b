// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Values with every field filled and different from its default, made by reflection, so that a
/// field added to a struct is covered by every test that uses these without anyone remembering it.
/// Deterministic: the same seed gives the same values. Numbers stay within messages/limits.hpp and
/// are as wide as their type allows, which exposes a codec that narrows them.

#include "messages/codec.hpp"

#include <boost/pfr.hpp>

#include <array>

namespace consort::samples {

/// What kind of value a field is.
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_pair : std::false_type {};
template <class A, class B>
struct is_pair<std::pair<A, B>> : std::true_type {};
template <class T>
struct is_variant : std::false_type {};
template <class... Ts>
struct is_variant<std::variant<Ts...>> : std::true_type {};

/// Fills values; each leaf gets the next number.
class filler {
public:
  explicit filler(std::uint64_t seed = 0) : next_(seed) {}

  /// A bool turns over, so that it differs from whatever default it had.
  void fill(bool& value) { value = !value; }
  /// Only HTTP statuses have 16 bits.
  void fill(std::uint16_t& value) { value = static_cast<std::uint16_t>(400 + small()); }
  void fill(std::uint32_t& value) { value = static_cast<std::uint32_t>(2 + small()); }
  void fill(std::int32_t& value) { value = static_cast<std::int32_t>(2 + small()); }
  /// Wider than any smaller type; durations stay within their limit.
  void fill(std::uint64_t& value) { value = (std::uint64_t{1} << 63) + small(); }
  void fill(std::int64_t& value) { value = (std::int64_t{1} << 40) + std::int64_t(small()); }
  /// Good as a name, a label and a text.
  void fill(std::string& value) { value = "text-" + std::to_string(small()); }
  void fill(digest& value) {
    value.value = std::string(62, 'a') + std::to_string(10 + small() % 90);
  }
  template <class Tag>
  void fill(strong_name<Tag>& value) {
    value.value = "name/" + std::to_string(small());
  }
  template <class Tag>
  void fill(strong_number<Tag>& value) {
    fill(value.value);
  }
  /// In order of name, with text beyond ASCII.
  void fill(std::map<std::string, std::string>& value) {
    value = {{"one", "text " + std::to_string(small())}, {"two", "Zwölf ♫"}};
  }
  void fill(price_list& value) {
    value.clear();
    for (const auto* model : {"*", "api/model"})
      value.emplace(model, make<token_price>());
  }
  /// The alternative that says most.
  void fill(attempt_event& value) { value = make<attempt_tokens>(); }
  /// The two answers exclude each other.
  void fill(messages::query_answer& value) {
    fill(value.number);
    fill(value.snapshot);
    fill(value.next);
  }
  /// Everything else by its shape: two elements in a list, every field of a struct.
  template <class T>
  void fill(T& value) {
    if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(value == T{1} ? 2 : 1);
    } else if constexpr (is_vector<T>::value) {
      value.resize(2);
      for (auto& element : value)
        fill(element);
    } else if constexpr (is_optional<T>::value) {
      fill(value.emplace());
    } else if constexpr (is_pair<T>::value) {
      fill(value.first);
      fill(value.second);
    } else if constexpr (!std::is_empty_v<T>) {
      boost::pfr::for_each_field(value, [this](auto& field) { fill(field); });
    }
  }

  /// A fresh value, filled.
  template <class T>
  T make() {
    T value{};
    fill(value);
    return value;
  }

private:
  /// Small enough for every bounded number; a prime period, so that neighbours differ.
  std::uint64_t small() { return ++next_ % 97; }
  std::uint64_t next_;
};

/// Equality by fields, for structs that have no `==` of their own.
template <class T>
bool same(const T& left, const T& right) {
  if constexpr (is_variant<T>::value) {
    return left.index() == right.index()
           && std::visit(
               [&](const auto& value) {
                 return same(value, std::get<std::decay_t<decltype(value)>>(right));
               },
               left);
  } else if constexpr (std::equality_comparable<T>) {
    return left == right;
  } else if constexpr (std::is_empty_v<T>) {
    return true;
  } else {
    bool equal = true;
    boost::pfr::for_each_field(left, [&](const auto& field, std::size_t at) {
      std::size_t other = 0;
      boost::pfr::for_each_field(right, [&](const auto& peer) {
        if constexpr (std::is_same_v<decltype(field), decltype(peer)>)
          if (other == at)
            equal = equal && same(field, peer);
        ++other;
      });
    });
    return equal;
  }
}

/// One filled value of every alternative, in the variant's order.
template <class Variant>
std::vector<Variant> each_alternative(std::uint64_t seed = 0) {
  std::vector<Variant> all;
  filler fill(seed);
  const auto add = [&]<std::size_t... At>(std::index_sequence<At...>) {
    (all.emplace_back(fill.make<std::variant_alternative_t<At, Variant>>()), ...);
  };
  add(std::make_index_sequence<std::variant_size_v<Variant>>());
  return all;
}

/// Names of the alternatives, in the variants' order; golden files are called after them.
inline constexpr std::array event_names
    = {"node_joined",         "node_lost",          "lease_renewed",     "drain_changed",
       "device_advertised",   "device_reported",    "device_lost",       "model_declared",
       "model_removed",       "request_submitted",  "request_cancelled", "attempt_started",
       "attempt_progressed",  "attempt_finished",   "attempt_failed",    "gateway_lost",
       "allocation_reserved", "allocation_refused", "replica_loaded",    "replica_unloaded",
       "replica_failed",      "artifact_found",     "artifact_lost",     "compile_progressed",
       "compile_finished",    "compile_failed",     "compile_requested", "tick",
       "request_restored",    "gateway_restored",   "replica_found",     "fetch_failed"};
inline constexpr std::array command_names = {"grant_lease",
                                             "fence_node",
                                             "reserve_allocation",
                                             "release_allocation",
                                             "load_replica",
                                             "unload_replica",
                                             "revoke_attempt",
                                             "start_compile",
                                             "cancel_compile",
                                             "fetch_artifact",
                                             "delete_artifact",
                                             "grant_ticket",
                                             "drop_attempt",
                                             "queue_notice",
                                             "reject_request",
                                             "record_request",
                                             "note"};
inline constexpr std::array attempt_event_names
    = {"opened", "tokens", "choice_done", "completed", "aborted"};
inline constexpr std::array host_command_names
    = {"open", "submit", "cancel", "read_stats", "close"};
inline constexpr std::array host_report_names = {"opened", "open_failed", "event", "stats"};

// A new alternative needs a name here, and its golden bytes.
static_assert(event_names.size() == std::variant_size_v<core::event>);
static_assert(command_names.size() == std::variant_size_v<core::command>);
static_assert(attempt_event_names.size() == std::variant_size_v<attempt_event>);
static_assert(host_command_names.size() == std::variant_size_v<messages::host_command>);
static_assert(host_report_names.size() == std::variant_size_v<messages::host_report>);

/// An envelope with every field set; the protocol version is this build's.
inline messages::envelope sample_envelope() {
  auto from = filler(7).make<messages::envelope>();
  from.version = messages::protocol_version;
  return from;
}

} // namespace consort::samples
