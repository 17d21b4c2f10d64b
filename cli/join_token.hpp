// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The cluster's join token: 32 random bytes in a file of mode 0600 in the scheduler's data folder,
/// made at its first start. Whoever has it may say hello; certificates say as what.

#include "scheduler/result.hpp"

#include <string>

namespace consort::cli {

inline constexpr std::size_t join_token_bytes = 32;           ///< Of randomness; twice that in hex.
inline constexpr std::size_t join_token_file_bytes_max = 256; ///< A longer file is no token.

/// Returns: the token in `<data_dir>/join-token`; empty when there is none.
[[nodiscard]] result<std::string> read_join_token(const std::string& data_dir);

/// The same, made and written first when there is none.
[[nodiscard]] result<std::string> ensure_join_token(const std::string& data_dir);

/// Writes a new one. Running links stay; the next hello needs it after the scheduler's restart.
[[nodiscard]] result<std::string> rotate_join_token(const std::string& data_dir);

} // namespace consort::cli
