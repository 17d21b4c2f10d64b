// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The explanation of a request as people read it: the outcome, then each decision with its
/// reason, its winner and a table of candidates. Pure.

#include "cli/api.hpp"

#include <string>

namespace consort::cli {

/// `explanation` in the admin API's shape (gateway/README.md). With `wide`, the terms of every
/// candidate's score; otherwise the winner's only.
[[nodiscard]] std::string render_explanation(const json& explanation, bool wide, bool colour);

} // namespace consort::cli
