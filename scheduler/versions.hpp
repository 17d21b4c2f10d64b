// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Versions of compilers as their tools print them: numbers between dots, as many as there are. A
/// missing one counts as 0. Of what is anything else nothing is said: it is older than nothing and
/// runs nothing else. Pure.

#include "scheduler/resources.hpp"

#include <charconv>
#include <string_view>

namespace consort::core {

/// The numbers of a version; empty when it is something else.
[[nodiscard]] inline std::vector<std::uint32_t> version_parts(std::string_view version) {
  std::vector<std::uint32_t> parts;
  const auto* const end = version.data() + version.size();
  for (const auto* at = version.data(); at < end;) {
    std::uint32_t part = 0;
    const auto [stop, failed] = std::from_chars(at, end, part);
    if (failed != std::errc{} || (stop != end && (*stop != '.' || stop + 1 == end)))
      return {};
    parts.push_back(part);
    at = stop == end ? end : stop + 1;
  }
  return parts;
}

/// Whether `one` is older than `other`. False when either is no version.
[[nodiscard]] inline bool older_version(std::string_view one, std::string_view other) {
  auto left = version_parts(one);
  auto right = version_parts(other);
  if (left.empty() || right.empty())
    return false;
  const auto count = left.size() > right.size() ? left.size() : right.size();
  left.resize(count);
  right.resize(count);
  return left < right;
}

/// Whether what runs engines of `version` runs those of `older` too, by what its plugin says.
[[nodiscard]] inline bool runs_older(older_engines rule, std::string_view older,
                                     std::string_view version) {
  if (rule == older_engines::none || !older_version(older, version))
    return false;
  const std::size_t alike = rule == older_engines::minor ? 2 : rule == older_engines::major ? 1 : 0;
  auto left = version_parts(older);
  auto right = version_parts(version);
  left.resize(alike);
  right.resize(alike);
  return left == right;
}

} // namespace consort::core
