// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Small files, read and replaced whole. Only regular files are read: to open a pipe waits for
/// whoever writes it, and a device such as /dev/zero has no end.
/// Replaced: what was there before stays until the new text is whole. Best effort, without a flush
/// to the disk: whoever needs that to hold through a loss of power does not use this. One writer of
/// a path at a time.

#include "node/process_group.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace consort::node {

/// Replaces `path` by `text` through `path`.new. Returns: whether it did; otherwise, as on a full
/// disk, what `path` held is still there.
[[nodiscard]] bool replace_file(const std::string& path, std::string_view text);

/// Opens a regular file, or a link to one, for reading; never waits for it. Returns: nothing open
/// when it is anything else or cannot be opened; errno says why, EINVAL for what is no file.
[[nodiscard]] unique_fd open_regular(const std::string& path);

/// The first `bytes_max` of a file; fewer where it ends. Returns: nothing as for
/// `read_whole_file`.
[[nodiscard]] std::optional<std::string> read_file_head(const std::string& path,
                                                        std::size_t bytes_max);

/// All of a regular file. Returns: nothing when it is none or cannot be opened, or when a read of
/// it fails (a folder, a bad disk, a process of /proc that ends meanwhile): iterators of a stream
/// throw there.
[[nodiscard]] std::optional<std::string> read_whole_file(const std::string& path);

} // namespace consort::node
