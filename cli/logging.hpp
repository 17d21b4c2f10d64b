// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where logs go: one line per event on stderr, as text or as JSON objects. Called once, before
/// threads start; stdout is for answers only.

#include <string>

namespace consort::cli {

/// `level` is a word of spdlog (`info`, `warn`, ...), `format` `text` or `json`; both checked by
/// the command line.
void set_up_logging(const std::string& level, const std::string& format);

} // namespace consort::cli
