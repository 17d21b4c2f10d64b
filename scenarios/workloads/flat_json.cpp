// SPDX-License-Identifier: Apache-2.0
#include "scenarios/workloads/flat_json.hpp"

#include <charconv>
#include <cmath>

namespace consort::sim {

namespace {

constexpr std::size_t short_text_bytes = 64;

void skip_space(std::string_view& rest) {
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t'))
    rest.remove_prefix(1);
}

bool accept(std::string_view& rest, char wanted) {
  skip_space(rest);
  if (rest.empty() || rest.front() != wanted)
    return false;
  rest.remove_prefix(1);
  return true;
}

/// A number as JSON has it: from_chars would take `nan` and `inf` too.
bool number(std::string_view& rest, double& out) {
  if (rest.front() != '-' && (rest.front() < '0' || rest.front() > '9'))
    return false;
  const auto [stop, status] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (status != std::errc{} || !std::isfinite(out))
    return false;
  rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
  return true;
}

bool word(std::string_view& rest) {
  for (const std::string_view one : {"true", "false", "null"})
    if (rest.substr(0, one.size()) == one) {
      rest.remove_prefix(one.size());
      return true;
    }
  return false;
}

} // namespace

std::string flat_json::read(std::string_view line) {
  numbers.clear();
  nested = false;
  arrays.clear();
  mixed.clear();
  text_bytes.clear();
  texts.clear();
  auto rest = line;
  skip_space(rest);
  if (rest.empty() || rest.front() != '{')
    return "expected an object of JSON";
  if (value(rest, "", 0)) {
    skip_space(rest);
    if (rest.empty())
      return {};
  }
  return "is not JSON from column " + std::to_string(line.size() - rest.size() + 1) + " on";
}

bool flat_json::value(std::string_view& rest, const std::string& path, int depth) {
  skip_space(rest);
  if (rest.empty() || depth > depth_max)
    return false;
  if (rest.front() == '{')
    return object(rest, path, depth);
  if (rest.front() == '[')
    return array(rest, path, depth);
  if (rest.front() == '"') {
    std::string found;
    if (!text(rest, found))
      return false;
    text_bytes[path] += found.size();
    if (found.size() <= short_text_bytes)
      texts[path] = std::move(found);
    return true;
  }
  double found = 0;
  if (word(rest))
    return true;
  if (!number(rest, found))
    return false;
  numbers[path] = found;
  nested = nested || path.find('.') != std::string::npos;
  return true;
}

bool flat_json::object(std::string_view& rest, const std::string& path, int depth) {
  accept(rest, '{');
  if (accept(rest, '}'))
    return true;
  do {
    std::string name;
    skip_space(rest);
    if (!text(rest, name) || !accept(rest, ':'))
      return false;
    if (!value(rest, path.empty() ? name : path + "." + name, depth + 1))
      return false;
  } while (accept(rest, ','));
  return accept(rest, '}');
}

bool flat_json::array(std::string_view& rest, const std::string& path, int depth) {
  accept(rest, '[');
  auto& whole = arrays[path];
  if (accept(rest, ']'))
    return true;
  do {
    skip_space(rest);
    std::uint64_t one = 0;
    const auto [stop, status] = std::from_chars(rest.data(), rest.data() + rest.size(), one);
    const auto after = stop == rest.data() + rest.size() ? ',' : *stop;
    if (status == std::errc{} && (after == ',' || after == ']' || after == ' ')) {
      whole.push_back(one);
      rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    } else if (mixed.insert(path); !value(rest, path, depth + 1)) {
      return false;
    }
  } while (accept(rest, ','));
  return accept(rest, ']');
}

/// A string without decoding what is escaped: only its size and short names matter.
bool flat_json::text(std::string_view& rest, std::string& out) {
  if (rest.empty() || rest.front() != '"')
    return false;
  for (std::size_t at = 1; at < rest.size(); ++at) {
    if (rest[at] == '\\') {
      ++at;
    } else if (rest[at] == '"') {
      out.assign(rest.substr(1, at - 1));
      rest.remove_prefix(at + 1);
      return true;
    }
  }
  return false;
}

} // namespace consort::sim
