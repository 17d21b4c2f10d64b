// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which parts of a configuration differ from the one that a process runs with, by the keys that
/// the file has them under. Models are not among them: a running process takes them up. Pure.

#include "cli/config.hpp"

namespace consort::cli {

/// In the order of the file's reference. Requires: both were completed alike, by flags and
/// defaults.
[[nodiscard]] std::vector<std::string> keys_that_need_a_restart(const cluster_config& running,
                                                                const cluster_config& fresh);

/// What to log once the file was read again: which keys wait for a restart, and what took effect.
[[nodiscard]] std::string reread_words(const std::vector<std::string>& waiting);

} // namespace consort::cli
