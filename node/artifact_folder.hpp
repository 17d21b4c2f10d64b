// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Artifacts that are folders: some compilers write many files. Such a folder becomes one file, the
/// same bytes for the same content, which is stored, hashed and sent like any other artifact;
/// beside it, once it is to be used, stands what was packed. Done by tar(1) as a child process.
///
/// Unpacking is for whoever has an event loop: begin_unpack() says what to run, end_unpack() puts
/// the result in its place. Two that unpack the same artifact at once both succeed.

#include "node/child_process.hpp"
#include "scheduler/result.hpp"

#include <optional>

namespace consort::node {

/// Makes `file` of everything below `folder`. Links are followed. Blocks for as long as it takes,
/// at most limits::pack_us_max. Errors: `artifact_empty` when there is no file with content,
/// `artifact_pack`.
[[nodiscard]] result<done> pack_folder(const std::string& folder, const std::string& file);

/// Where the folder of an artifact stands ready; nothing when it is still to be unpacked. A payload
/// that is a folder is itself ready.
[[nodiscard]] std::optional<std::string> unpacked_folder(const std::string& payload);

/// An unpacking under way: a tool to run, and its scratch folder, which is there already.
struct unpacking {
  child_spec tool;
  std::string scratch;
};
/// Errors: `disk_full`, `disk_error`.
[[nodiscard]] result<unpacking> begin_unpack(const std::string& payload);
/// Requires: the tool has ended. Returns: the folder; `artifact_unfit` when it was no packed one.
[[nodiscard]] result<std::string> end_unpack(const std::string& payload, const unpacking& under_way,
                                             const child_exit& end);

} // namespace consort::node
