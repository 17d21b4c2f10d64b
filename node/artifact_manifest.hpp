// SPDX-License-Identifier: Apache-2.0
#pragma once
/// manifest.json beside an artifact's payload: what it was built for, from what, by what, how good
/// and how large it is. Builds for several keys may end in the same bytes, which are kept once: the
/// first key stands as ever, where versions that know of one alone read it, the rest under `also`.
/// Reading trusts nothing: types, lengths and digests are checked. Pure.

#include "node/limits.hpp"
#include "scheduler/types.hpp"

#include <string_view>
#include <vector>

namespace consort::node {

/// Of one key.
struct artifact_manifest {
  artifact_record record;     ///< `node` is not stored.
  std::int64_t created_s = 0; ///< Unix time.
};
/// Of one content: what each of its keys has, no key twice. Never empty; the first stays the first.
using artifact_manifests = std::vector<artifact_manifest>;

[[nodiscard]] std::string write_manifest(const artifact_manifests& made);
/// Takes `fresh` in: in the place of what is there of its key, else as the last. What was built
/// longest ago falls out beyond limits::artifact_keys_max and limits::manifest_bytes_max.
void add_manifest(artifact_manifests& made, artifact_manifest fresh);
/// Errors: `artifact_manifest`, with the field; `manifest_unreadable` for what no version of us
/// wrote.
[[nodiscard]] result<artifact_manifests> read_manifest(std::string_view text);
/// The same of a file. Errors: also `manifest_unreadable` when there is none, and `disk_error` when
/// it cannot be read, which may pass.
[[nodiscard]] result<artifact_manifests> load_manifest(const std::string& path);

} // namespace consort::node
