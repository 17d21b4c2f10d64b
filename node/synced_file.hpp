// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Files that are on the disk once they are said to be: what the artifact store needs to hold
/// through a loss of power. Slower than replace_file() by a flush.

#include "scheduler/result.hpp"

#include <optional>
#include <string>

namespace consort::node {

/// What errno says of a path: `disk_full` where there is no room, else `disk_error`.
[[nodiscard]] error file_error(const std::string& path, int reason);

/// Flushes a file or folder to the disk.
[[nodiscard]] std::optional<error> sync_path(const std::string& path);

/// Writes a file anew, flushed. Cut off half way, it holds the beginning of `text`.
[[nodiscard]] std::optional<error> write_synced(const std::string& path, const std::string& text);

/// The same through `path`.new: `path` holds either what it held or all of `text`.
[[nodiscard]] std::optional<error> replace_synced(const std::string& path, const std::string& text);

/// Makes a file with the bytes and permissions of another, flushed. Nothing of it is left when that
/// fails; a file that is there already is no more than named.
[[nodiscard]] std::optional<error> copy_synced(const std::string& from, const std::string& to);

} // namespace consort::node
