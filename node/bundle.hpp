// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Folders as artifacts: what a compiler or a vendor gives as a folder is packed into one file, so
/// that it has one SHA-256 and travels as one, and unpacked beside it where it is used. A bundle is
/// a tar file whose first member is an empty `.consort-bundle`; the same folder packs to the same
/// bytes. Packing and unpacking are the `tar` program's. Blocks for as long as it takes.

#include "scheduler/result.hpp"

#include <string>

namespace consort::node {

/// Writes `file`; `folder` stays as it is but for the mark in it. Errors: `bundle_failed`,
/// `bundle_empty`.
[[nodiscard]] result<done> pack_folder(const std::string& folder, const std::string& file);
/// Whether it is a bundle. Reads its first bytes only.
[[nodiscard]] bool is_bundle(const std::string& file);
/// Into a new folder, which is there whole or not at all. Members that would lie outside of it are
/// refused. Errors: `bundle_failed`.
[[nodiscard]] result<done> unpack_bundle(const std::string& file, const std::string& folder);

} // namespace consort::node
