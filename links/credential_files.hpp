// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reading files of a credentials folder. Private to links/.

#include "scheduler/result.hpp"

#include <filesystem>
#include <string>

namespace consort::links {

/// A file of at most limits::pem_bytes_max. Returns: `no_credentials`, `bad_certificate`.
[[nodiscard]] result<std::string> read_bounded(const std::filesystem::path& file);
/// Whether its mode lets anyone but the owner touch it.
[[nodiscard]] bool others_may_read(const std::filesystem::path& file);

} // namespace consort::links
