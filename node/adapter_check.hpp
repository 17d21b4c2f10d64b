// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether what lies on this host can be a LoRA adapter, by its beginning: a model with a broken
/// one could not be loaded at all, which who declares it is told at once.

#include "scheduler/result.hpp"

#include <string>

namespace consort::node {

/// A folder has its settings and `adapter_model.safetensors`, and that begins as such a file does;
/// so does one file that is called so. A GGUF file says that it is an adapter. Others are left to
/// the plugin that reads them, but for weights that are code. Errors: `bad_adapter` (refuse), with
/// the path. A file that cannot be read is not judged.
[[nodiscard]] result<done> check_adapter(const std::string& path);

} // namespace consort::node
