// SPDX-License-Identifier: Apache-2.0
#include "scheduler/served_name.hpp"

#include <algorithm>

namespace consort {

namespace {

bool may_stand(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
         || std::string_view("._:/@+-").find(c) != std::string_view::npos;
}

/// Only endings of weights are dropped: the `.2-1B` of a folder `Llama-3.2-1B` is part of its name.
std::string_view without_ending(std::string_view file) {
  for (const std::string_view ending :
       {".gguf", ".safetensors", ".json", ".onnx", ".bin", ".pt", ".pth", ".sim"})
    if (file.size() > ending.size() && file.ends_with(ending))
      return file.substr(0, file.size() - ending.size());
  return file;
}

} // namespace

std::optional<std::string> objection_to_name(std::string_view name) {
  if (name.empty() || name.size() > served_name_bytes_max)
    return "must have 1 to " + std::to_string(served_name_bytes_max) + " bytes";
  if (!std::all_of(name.begin(), name.end(), may_stand))
    return "must be of letters, digits and ._:/@+- only, such as `org/name:tag`";
  if (name.front() == '-' || name.front() == '.')
    return "must not begin with `-` or `.`";
  const auto slashed = "/" + std::string(name) + "/";
  if (slashed.find("/../") != std::string::npos)
    return "must have no `..` between slashes";
  return std::nullopt;
}

std::string derived_name(std::string_view text) {
  constexpr std::size_t bytes_max = 48;
  std::string name;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain)
      name += upper ? static_cast<char>(c + ('a' - 'A')) : c;
    else if (!name.empty())
      name += '-';
  }
  name.resize(std::min(name.size(), bytes_max));
  while (name.ends_with('-'))
    name.pop_back();
  return name.empty() ? "model" : name;
}

std::string name_of_source(std::string_view source) {
  if (source.starts_with("hf:"))
    return std::string(source);
  if (source.starts_with("https:") || source.starts_with("http:")) {
    source = source.substr(0, source.find_first_of("?#"));
    if (!objection_to_name(source)) // Files of many places have one name.
      return std::string(source);
  }
  while (source.ends_with('/'))
    source.remove_suffix(1);
  const auto file
      = without_ending(source.substr(source.find_last_of('/') + 1)); // All where there is none.
  return objection_to_name(file) ? derived_name(file) : std::string(file);
}

} // namespace consort
