// SPDX-License-Identifier: Apache-2.0
#pragma once
/// manifest.json beside an artifact's payload: what it was built for, from what, by what, how good
/// and how large it is. Reading trusts nothing: types, lengths and digests are checked. Pure.

#include "node/limits.hpp"
#include "scheduler/types.hpp"

#include <string_view>

namespace consort::node {

struct artifact_manifest {
  artifact_record record;     ///< `node` is not stored.
  std::int64_t created_s = 0; ///< Unix time.
};

[[nodiscard]] std::string write_manifest(const artifact_manifest& manifest);
/// Errors: `artifact_manifest`, with the field; `manifest_unreadable` for what no version of us
/// wrote.
[[nodiscard]] result<artifact_manifest> read_manifest(std::string_view text);
/// The same of a file. Errors: also `manifest_unreadable` when there is none, and `disk_error` when
/// it cannot be read, which may pass.
[[nodiscard]] result<artifact_manifest> load_manifest(const std::string& path);

} // namespace consort::node
