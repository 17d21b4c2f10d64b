// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `{name}` in a plugin's arguments and templates, replaced by the agent's own values. An argument
/// stays one argument whatever it becomes. Pure.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

/// The first placeholder in `text` that is not in `allowed`; braces around anything but lower-case
/// letters are plain text.
[[nodiscard]] std::optional<std::string>
unknown_placeholder(std::string_view text, const std::vector<std::string>& allowed);

/// `text` with every placeholder of `values` replaced; what was put in is not looked at again.
[[nodiscard]] std::string replace_placeholders(std::string_view text,
                                               const std::map<std::string, std::string>& values);

/// Letters, digits and `._:/@+-`, and no `-` in front: what may become an argument although whoever
/// declares models chose it.
[[nodiscard]] bool is_plain_word(std::string_view text);

} // namespace consort::node
