// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether a safetensors file, or a model in several of them, is whole: an interrupted copy looks
/// like a model until a vendor's tool reads it. Such a file is the length of its table (8 bytes,
/// little-endian), the table (a JSON object: where each tensor lies behind it) and the tensors.
/// Files are taken as hostile: lengths are compared so that nothing overflows, and of the table
/// only the text is held. Pure but for reading files. Errors: `bad_model` (refuse), with the file.

#include "scheduler/result.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace consort::node {

namespace limits {
/// Of the table of one file, as the format has it, and of an index.
inline constexpr std::uint64_t safetensors_table_bytes_max = 100'000'000;
} // namespace limits

/// Checks a file of `file_bytes` bytes by its first ones, `head`: all of its table has to be among
/// them, or all of the file. The tensors have to end where the file does. Errors name no file.
[[nodiscard]] result<done> check_safetensors(std::string_view head, std::uint64_t file_bytes);

/// The same of a file on this host; reads its table, at most limits::safetensors_table_bytes_max.
[[nodiscard]] result<done> check_safetensors_file(const std::string& path);

/// The same of all `*.safetensors` among `names`, the files of a folder, and that all parts are
/// there which the index (at most limits::safetensors_table_bytes_max) or, without one, their own
/// names tell of. A `model.safetensors` is whole without others: readers look at no index then.
[[nodiscard]] result<done> check_safetensors_folder(const std::string& folder,
                                                    const std::set<std::string>& names);

} // namespace consort::node
