// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a vendor's tools print when they fail, as a plugin's folder has it in
/// `fixtures/failures.json`, against what the folder's `failures` make of it. Blocking, no I/O.

#include "node/plugin_document.hpp"

namespace consort::node {

/// `text`: `{"runtime": {CLASS: [SAMPLE, ...]}, "build": {CLASS: [SAMPLE, ...]}}`; a sample is what
/// was printed, or `{"line", "exit"}`, either of which may be missing (then nothing, and 1). Every
/// build with `failures` has to judge those of `build` alike. Returns: how many were judged as they
/// say. Errors: `plugin_failures`, naming the first that was not.
[[nodiscard]] result<std::size_t> check_failure_samples(const plugin_document& document,
                                                        const std::string& text);

} // namespace consort::node
