// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which names models, aliases and adapters may be served under. Whoever declares a model chooses
/// them, and they end up as words of commands, in paths of URLs and on terminals: so they are of
/// letters, digits and `._:/@+-` only, as `org/name:tag` and a path are. Pure.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace consort {

inline constexpr std::size_t served_name_bytes_max = 256;

/// What is wrong with the name, to be put behind what has it: "must ..."; nothing when it is fine.
/// It must not begin with `-` (an option) or `.`, and have no `..` between slashes (a path out of a
/// folder).
[[nodiscard]] std::optional<std::string> objection_to_name(std::string_view name);

/// A name made of any text: lower-case letters and digits, `-` for what else is in it but at the
/// ends, at most 48 bytes. `model` where nothing is left.
[[nodiscard]] std::string derived_name(std::string_view text);

/// What weights are served as when nobody names them: `hf:` sources as they are; an address of the
/// web without its query; of a path, or an address that can be no name, the own name of the
/// file, without an ending of weights, or of the folder; or what is derived of that.
[[nodiscard]] std::string name_of_source(std::string_view source);

} // namespace consort
