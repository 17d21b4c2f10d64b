// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Small files, read and replaced whole.
/// Replaced: what was there before stays until the new text is whole. Best effort, without a flush
/// to the disk: whoever needs that to hold through a loss of power does not use this. One writer of
/// a path at a time.

#include <optional>
#include <string>
#include <string_view>

namespace consort::node {

/// Replaces `path` by `text` through `path`.new. Returns: whether it did; otherwise, as on a full
/// disk, what `path` held is still there.
[[nodiscard]] bool replace_file(const std::string& path, std::string_view text);

/// All of a file. Returns: nothing when it cannot be opened, or when a read of it fails (a folder,
/// a bad disk, a process of /proc that ends meanwhile): iterators of a stream throw there.
[[nodiscard]] std::optional<std::string> read_whole_file(const std::string& path);

} // namespace consort::node
