// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What `consort host --compile` runs: one build by a vendor's shared object, which exports a
/// consort_compiler_table (node/plugin_abi.h), in a process of its own, so that a crash fails that
/// build alone. To the agent it is a compiler like any other (node/tool_compile.hpp): progress and
/// quality are lines of standard output that begin with build_line_mark, the last words are on
/// standard error, and how it ended is the exit status of docs/PLUGINS.md.

#include <string>
#include <vector>

namespace consort::node {

inline constexpr const char* build_line_mark = "@consort ";

struct library_build {
  std::string library;
  bool version_only = false; ///< Prints the compiler's name and version, and builds nothing.
  std::string model, output, work, target, dtype, flags, devices;
  std::string config_json = "{}";
  std::uint32_t degree = 1;
};

/// Returns: the exit status. To be the only work of its process.
[[nodiscard]] int compile_main(const library_build& wanted);

/// The command line that does it, with a compiler's placeholders in it; `executable` is the consort
/// binary.
[[nodiscard]] std::vector<std::string> library_build_command(const std::string& executable,
                                                             const std::string& library,
                                                             const std::string& config_json);
[[nodiscard]] std::vector<std::string> library_version_command(const std::string& executable,
                                                               const std::string& library);

} // namespace consort::node
