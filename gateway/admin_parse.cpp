// SPDX-License-Identifier: Apache-2.0
// A model declaration from an operator's JSON. Strict: an unknown or mistyped field is an error.
#include "gateway/admin_json.hpp"
#include "gateway/json_text.hpp"
#include "gateway/limits.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/served_name.hpp"

#include <algorithm>
#include <limits>

namespace consort::gateway {

namespace {

error invalid(const std::string& where, const std::string& what) {
  return {recovery::refuse, "invalid_value", "`" + where + "` " + what};
}

/// Reads the fields of one object; remembers the first thing wrong.
class object_reader {
public:
  object_reader(const json& from, std::string where) : from_(from), where_(std::move(where)) {
    if (!from.is_object())
      fail(where_, "must be an object");
  }

  void text(const char* field, std::string& out) {
    if (const auto* value = find(field); value != nullptr)
      take(*value, field, out);
  }

  /// A string that names or explains something.
  void take(const json& value, const char* field, std::string& out) {
    if (!value.is_string())
      return fail(path(field), "must be a string");
    if (has_control(value.get_ref<const std::string&>()))
      return fail(path(field), "must have no control characters");
    out = value.get<std::string>();
  }

  template <class Number>
  void number(const char* field, Number& out) {
    const auto* value = find(field);
    if (value == nullptr)
      return;
    // A value made in the program, not parsed, is signed even when it is not negative.
    const bool whole = value->is_number_integer()
                       && (value->is_number_unsigned() || value->get<std::int64_t>() >= 0)
                       && value->get<std::uint64_t>()
                              <= static_cast<std::uint64_t>(std::numeric_limits<Number>::max());
    whole ? void(out = value->get<Number>()) : fail(path(field), "must be a whole number >= 0");
  }

  const json* array(const char* field) {
    const auto* value = find(field);
    if (value != nullptr && !value->is_array())
      fail(path(field), "must be an array");
    return value != nullptr && value->is_array() ? value : nullptr;
  }

  const json* any(const char* field) { return find(field); }

  /// Call last. Returns: what was wrong, an unknown field included.
  std::optional<error> finish() {
    if (from_.is_object())
      for (const auto& [key, value] : from_.items())
        if (std::find(known_.begin(), known_.end(), key) == known_.end())
          fail(path(key), "is not a known field" + did_you_mean(key, known_));
    return failure_;
  }

  [[nodiscard]] std::string path(const std::string& field) const {
    return where_.empty() ? field : where_ + "." + field;
  }
  void fail(const std::string& where, const std::string& what) {
    if (!failure_)
      failure_ = invalid(where, what);
  }

private:
  const json* find(const char* field) {
    known_.emplace_back(field);
    if (!from_.is_object())
      return nullptr;
    const auto found = from_.find(field);
    return found == from_.end() ? nullptr : &*found;
  }

  const json& from_;
  std::string where_;
  std::vector<std::string> known_;
  std::optional<error> failure_;
};

std::string format_of(const std::string& source) {
  const auto dot = source.rfind('.');
  return dot == std::string::npos || source.find('/', dot) != std::string::npos
             ? std::string{}
             : source.substr(dot + 1);
}

result<model_adapter> adapter_from(const json& from, const std::string& where) {
  model_adapter out;
  object_reader in(from, where);
  in.text("name", out.name.value);
  in.text("source", out.source);
  in.text("content", out.content.value);
  in.number("rank", out.rank);
  if (auto failure = in.finish())
    return *failure;
  if (out.name.empty() || out.source.empty())
    return invalid(where, "needs a name and a source");
  if (const auto wrong = objection_to_name(out.name.value))
    return invalid(in.path("name"), *wrong);
  return out;
}

/// `{NAME: SOURCE}`, or a list as models are shown with.
std::optional<error> read_adapters(const json& from, const std::string& where, model_variant& out) {
  auto list = from;
  if (from.is_object()) {
    list = json::array();
    for (const auto& [name, source] : from.items())
      list.push_back({{"name", name}, {"source", source}});
  }
  if (!list.is_array())
    return invalid(where, "must be an object of names and sources");
  if (list.size() > core::limits::adapters_max)
    return invalid(where, "has more than " + std::to_string(core::limits::adapters_max));
  for (const auto& one : list) {
    auto adapter = adapter_from(one, where);
    if (!adapter)
      return adapter.failure();
    out.adapters.push_back(std::move(*adapter));
  }
  std::sort(out.adapters.begin(), out.adapters.end(),
            [](const auto& one, const auto& other) { return one.name < other.name; });
  return std::nullopt;
}

result<model_variant> variant_from(const json& from, const std::string& where) {
  model_variant out;
  object_reader in(from, where);
  in.text("format", out.format);
  in.text("source", out.source);
  in.text("content", out.content.value);
  in.text("shape", out.shape);
  in.text("quantization", out.quantization);
  in.text("equivalence", out.equivalence);
  in.text("tokenizer", out.tokenizer.value);
  in.text("chat_template", out.chat_template.value);
  in.number("weight_bytes", out.weight_bytes);
  in.number("kv_bytes_per_token", out.kv_bytes_per_token);
  in.number("context_tokens", out.context_tokens);
  in.number("token_bytes_max", out.token_bytes_max);
  if (const auto* adapters = in.any("adapters"); adapters != nullptr)
    if (auto failure = read_adapters(*adapters, in.path("adapters"), out))
      return *failure;
  if (auto failure = in.finish())
    return *failure;
  if (out.source.empty())
    return invalid(in.path("source"), "is missing: a path, hf:ORG/REPO, an address or server:NAME");
  if (out.format.empty())
    out.format = format_of(out.source);
  return out;
}

} // namespace

result<model_spec> model_spec_from_json(const json& from) {
  model_spec out;
  std::string source;
  object_reader in(from, "");
  in.text("name", out.name.value);
  in.text("source", source);
  in.number("replicas_min", out.replicas_min);
  in.number("replicas_max", out.replicas_max);
  out.idle_ttl_us = limits::model_idle_ttl_us;
  in.number("idle_ttl_us", out.idle_ttl_us);
  in.text("policy", out.policy.value);
  in.number("devices_per_instance", out.devices_per_instance);
  if (const auto* aliases = in.array("aliases"); aliases != nullptr)
    for (const auto& alias : *aliases)
      alias.is_string() ? in.take(alias, "aliases", out.aliases.emplace_back().value)
                        : in.fail("aliases", "must hold strings");
  const auto* variants = in.array("variants");
  const auto* adapters = in.any("adapters"); // Of `source`.
  if (auto failure = in.finish())
    return *failure;
  if (out.name.empty())
    return invalid("name", "is missing");
  if (const auto wrong = objection_to_name(out.name.value))
    return invalid("name", *wrong);
  if (out.policy.value.size() > core::limits::policy_bytes_max)
    return invalid("policy",
                   "has more than " + std::to_string(core::limits::policy_bytes_max) + " bytes");
  for (const auto& alias : out.aliases)
    if (const auto wrong = objection_to_name(alias.value))
      return invalid("aliases", *wrong);
  auto list = variants != nullptr ? *variants : json::array();
  if (!source.empty())
    list.push_back({{"source", source}});
  if (!source.empty() && adapters != nullptr)
    list.back()["adapters"] = *adapters;
  if (list.empty())
    return invalid("source", "is missing: a path, hf:ORG/REPO, an address or server:NAME");
  if (list.size() > limits::model_variants_max)
    return invalid("variants", "more than " + std::to_string(limits::model_variants_max));
  for (std::size_t at = 0; at < list.size(); ++at) {
    auto variant = variant_from(list[at], "variants[" + std::to_string(at) + "]");
    if (!variant)
      return variant.failure();
    out.variants.push_back(std::move(*variant));
  }
  return out;
}

} // namespace consort::gateway
