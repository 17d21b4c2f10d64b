// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A table as a vendor's tool prints it with commas: a header line, which may be known instead, and
/// a row per line. Empty lines are none. Pure; the texts are the tool's own, not yet cleaned.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

struct csv_table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows; ///< Each may be shorter or longer than the header.
};

/// `columns`: the header, where the tool prints none. A name twice is the first of them, and a
/// comma behind the last name is no column. A quote may stand in quotes when it is doubled.
/// Returns: nothing where there is neither a header nor a line.
[[nodiscard]] std::optional<csv_table> read_csv(std::string_view text,
                                                const std::vector<std::string>& columns);

/// What stands in the column of that name; nothing when the table or the row has no such column.
[[nodiscard]] std::optional<std::string> cell(const csv_table& table, std::size_t row,
                                              const std::string& column);

/// The first row with fewer columns than the header, from 0: such an answer was cut, or is none.
[[nodiscard]] std::optional<std::size_t> short_row(const csv_table& table);

} // namespace consort::node
