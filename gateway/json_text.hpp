// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The few things about JSON text that must be fast or must name a byte: escaping, UTF-8 and depth.
/// Pure; any input, of any length.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace consort::gateway {

/// Appends `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD, so the output is
/// always valid.
void append_json_string(std::string& out, std::string_view text);

/// Returns: the offset of the first byte that is not part of a well-formed character (overlong
/// forms and surrogates are not); nullopt when all is well.
[[nodiscard]] std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Whether the text has a control character of ASCII. Names and reasons have none: they end up in
/// logs, headers and terminals.
[[nodiscard]] bool has_control(std::string_view text);

/// Returns: the offset at which arrays and objects nest deeper than `depth_max`; nullopt when they
/// never do. Looks at brackets outside strings only.
[[nodiscard]] std::optional<std::size_t> find_too_deep(std::string_view text,
                                                       std::size_t depth_max);

} // namespace consort::gateway
