// SPDX-License-Identifier: Apache-2.0
#include "scheduler/provenance.hpp"

#include "scheduler/artifact_model.hpp"

#include <algorithm>
#include <charconv>

namespace consort::core {

const digest& newest_of(const artifact_record& record) {
  return record.own.empty() ? record.content : record.own;
}

std::uint64_t newest_bytes(const artifact_record& record) {
  auto bytes = record.size_bytes;
  if (const auto own = record.quality.find(artifact_own_bytes); own != record.quality.end())
    std::from_chars(own->second.data(), own->second.data() + own->second.size(), bytes);
  return bytes;
}

const build_profile& maker_of(const core_state& s, const artifact_entry& entry,
                              const digest& content) {
  const auto made_here = [&](const artifact_entry& one) {
    return std::any_of(one.copies.begin(), one.copies.end(), [&](const artifact_copy& copy) {
      return newest_of(copy.record) == content;
    });
  };
  if (made_here(entry))
    return entry.key.profile;
  for (const auto& [key, at] : s.artifact_keys)
    if (other_version(entry.key, key) && made_here(s.artifacts[at]))
      return key.profile;
  return entry.key.profile;
}

std::string maker_on(const core_state& s, const artifact_entry& entry, index node) {
  const auto* by = &entry.key.profile;
  for (const auto& copy : entry.copies)
    if (copy.node == node)
      by = &maker_of(s, entry, copy.record.content);
  return by->compiler + " " + by->compiler_version;
}

} // namespace consort::core
