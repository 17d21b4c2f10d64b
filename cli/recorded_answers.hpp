// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a plugin's folder has recorded of its vendor's tools, in `fixtures/`, against what the
/// folder makes of it. Private to `plugin check`. Blocking; reads that folder, and runs nothing.

#include "node/plugin_document.hpp"
#include "node/probe_answer.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace consort::cli {

/// In order of name; none where there is no such folder.
[[nodiscard]] std::vector<std::filesystem::path> fixtures_in(const std::filesystem::path& folder);

/// Judged by what the same answer would be told of if it came from the tool now. Returns: what it
/// is, in words, with what of the query's places is not in it; an error when it fails. Nothing for
/// files that are no answers: of a program's version, or for people.
[[nodiscard]] std::optional<result<std::string>>
judge_fixture(const node::plugin_document& document, const std::filesystem::path& file);

} // namespace consort::cli
