// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where logs go: one line per event on stderr, as text or as JSON objects. Called once, before
/// threads start; stdout is for answers only.

#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class formatter;
}

namespace consort::cli {

/// `level` is a word of spdlog (`info`, `warn`, ...), `format` `text` or `json`; both checked by
/// the command line.
void set_up_logging(const std::string& level, const std::string& format);

/// How a line of that format is written. Messages quote names and words that others chose: whatever
/// bytes they hold, a message stays on its line and tells a terminal nothing.
[[nodiscard]] std::unique_ptr<spdlog::formatter> make_log_formatter(const std::string& format);

/// The message with each control character written as `\x1b`.
[[nodiscard]] std::string on_one_line(std::string_view message);

} // namespace consort::cli
