// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Splits what a vendor's tool printed into devices, as the plugin's query says. Nothing in the
/// answer is trusted: size, depth, number of devices and length of texts are bounded, bytes that
/// are not printable ASCII become `?`, and a figure that is no number is unknown. Pure, but for
/// parse sysfs, which reads files.
/// Of several places for one field the first that says something counts, and its units with it.

#include "node/plugin_document.hpp"

#include <string_view>

namespace consort::node {

/// One device of an answer: texts by field name, units not yet applied.
struct answer_row {
  std::map<std::string, std::string> fields;
  std::map<std::string, const field_source*> sources; ///< Of the query, which outlives the row.
  std::map<std::string, std::string> attributes;
  std::map<std::string, std::string> said; ///< What the tool printed where `words` replaced it.
  /// Of a row without an id: the names under which the tool gave values, in words; empty = none.
  std::string came;
};

/// Returns: one row per device, ids present and unique. Where `left_out` is given, a row without an
/// id is left out and said there while others have one; of readings it would be no longer known
/// which device has none. A table with a header line has to have the columns of `id` and of
/// `where`, and no row shorter than the header. Errors (`plugin_answer`) say which row and field,
/// or show the start of an answer that could not be read, or which field's pattern was given up on
/// which line. Lines in front of an answer's JSON (up to limits::json_preface_bytes_max) are passed
/// over, and their words are put into `preface`.
[[nodiscard]] result<std::vector<answer_row>> split_answer(const tool_query& query,
                                                           std::string_view answer,
                                                           std::string* left_out = nullptr,
                                                           std::string* preface = nullptr);

/// Which devices of a probe have no model, which compilers and spec sheets go by, in words; empty =
/// all have one. A vendor's tool may call it something else since its last version.
[[nodiscard]] std::string without_model(const std::vector<answer_row>& rows);

/// Of an answer that names no device: how many lines it has, none of which `each` matches, and the
/// first of them. Empty where it has none, or its form has no pattern. A vendor's tool may print it
/// otherwise since its last version.
[[nodiscard]] std::string unmatched_words(const tool_query& query, std::string_view answer);

/// A row's figure in our unit; nothing when it is absent, not a number, or in another unit.
[[nodiscard]] std::optional<std::int64_t> figure_of(const answer_row& row, const std::string& name);

/// Whether a text says something: `N/A` in its spellings, `-` and an empty one are no value at all.
[[nodiscard]] bool says_something(const std::string& text);

/// A row's text; empty when absent.
[[nodiscard]] std::string text_of(const answer_row& row, const std::string& name);

} // namespace consort::node
