// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/json_fields.hpp"

#include <cmath>

namespace consort::llama {
namespace {

using nlohmann::json;

std::string range_text(double least, double most) {
  const auto plain = [](double value) {
    return value == std::floor(value) && std::abs(value) < 1e15
               ? std::to_string(static_cast<std::int64_t>(value))
               : std::to_string(value);
  };
  return "from " + plain(least) + " to " + plain(most);
}

} // namespace

error invalid(std::string message) {
  return {recovery::refuse, "invalid_request", std::move(message)};
}

error unsupported(std::string message) {
  return {recovery::refuse, "unsupported_parameter", std::move(message)};
}

const json* json_fields::find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

double json_fields::number(const char* name, double otherwise, double least, double most) {
  const json* field = find(name);
  if (field == nullptr)
    return otherwise;
  if (!field->is_number() || field->get<double>() < least || field->get<double>() > most) {
    fail(invalid("'" + std::string(name) + "' must be a number " + range_text(least, most)));
    return otherwise;
  }
  return field->get<double>();
}

std::int64_t json_fields::integer(const char* name, std::int64_t otherwise, std::int64_t least,
                                  std::int64_t most) {
  const json* field = find(name);
  if (field == nullptr)
    return otherwise;
  const bool fits = field->is_number_unsigned()
                        ? field->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                        : field->is_number_integer();
  if (!fits || field->get<std::int64_t>() < least || field->get<std::int64_t>() > most) {
    fail(invalid("'" + std::string(name) + "' must be an integer "
                 + range_text(static_cast<double>(least), static_cast<double>(most))));
    return otherwise;
  }
  return field->get<std::int64_t>();
}

bool json_fields::boolean(const char* name, bool otherwise) {
  const json* field = find(name);
  if (field == nullptr)
    return otherwise;
  if (!field->is_boolean()) {
    fail(invalid("'" + std::string(name) + "' must be true or false"));
    return otherwise;
  }
  return field->get<bool>();
}

std::string json_fields::string(const char* name, std::string otherwise) {
  const json* field = find(name);
  if (field == nullptr)
    return otherwise;
  if (!field->is_string()) {
    fail(invalid("'" + std::string(name) + "' must be a string"));
    return otherwise;
  }
  return field->get<std::string>();
}

void json_fields::fail(error fault) {
  if (!fault_)
    fault_ = std::move(fault);
}

result<json> parse_object(std::string_view text, const char* what) {
  json parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded())
    return invalid(std::string(what) + " is not valid JSON in UTF-8");
  if (!parsed.is_object())
    return invalid(std::string(what) + " must be a JSON object");
  return parsed;
}

} // namespace consort::llama
