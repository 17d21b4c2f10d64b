// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A vendor's shared object, loaded into this process. Only a host process does this: nothing that
/// comes from the object can be trusted to return, so it is never unloaded either.

#include "node/plugin_abi.h"
#include "scheduler/result.hpp"

#include <string>

namespace consort::node {

/// Loads the object with its symbols kept to itself, resolves `consort_runtime` and checks the
/// table. Returns: the table, complete, of our ABI; or `runtime_library_bad` (retry elsewhere)
/// naming what is wrong with which file.
[[nodiscard]] result<const consort_runtime_table*> load_vendor_library(const std::string& path);

/// The same for its compiler (consort_compiler).
[[nodiscard]] result<const consort_compiler_table*> load_vendor_compiler(const std::string& path);

} // namespace consort::node
