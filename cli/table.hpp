// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Aligned tables for people. Pure: cells in, text out; colour only when asked for, so that pipes
/// and NO_COLOR get plain text. Programs read `-o json` instead.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace consort::cli {

enum class align : std::uint8_t { left, right };

struct column {
  std::string title;
  align side = align::left;
  bool wide_only = false; ///< Shown with `-o wide` only.
  bool state = false;     ///< Words such as `ready` and `lost` are coloured.
  std::size_t width_min = 0;
};

class table {
public:
  explicit table(std::vector<column> columns);
  /// Requires: one cell per column. An empty cell is shown as `-`.
  void add(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] std::string render(bool wide, bool colour) const;
  /// What was added since the last call, to be written below it: the titles come the first time
  /// only. Columns keep their places as far as width_min is enough.
  [[nodiscard]] std::string render_further(bool wide, bool colour);

private:
  bool titled_ = false;
  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Terminal columns that UTF-8 text takes: 2 for East Asian wide characters and emoji, 0 for
/// combining marks and controls; a malformed byte takes 1.
[[nodiscard]] std::size_t display_width(std::string_view utf8);

/// Text from a server made safe for a terminal: control characters become `?`.
[[nodiscard]] std::string printable(std::string_view text);

} // namespace consort::cli
