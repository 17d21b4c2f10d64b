// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which build this is, as `--version` and every figure of the simulator name it. A constant of the
/// build, in a source that CMake writes, so that a commit compiles nothing else anew.

namespace consort::cli {

/// `0.1.0`, where the build knew its commit `0.1.0+1c034842f9a1`, and `.dirty` behind that when the
/// checkout had changes. Valid for ever.
[[nodiscard]] const char* version_text();

} // namespace consort::cli
