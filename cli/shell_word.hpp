// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Words of commands that people are told to paste into a shell: what a server or a folder is
/// called must come out of it as the one word that it is, whatever is in it. Pure.

#include <string>
#include <string_view>

namespace consort::cli {

/// The text as one word of a POSIX shell: as it is when made of letters, digits and `._:/@+=-`
/// alone, else within single quotes. Control characters become `?`, as printable() makes them.
[[nodiscard]] std::string shell_word(std::string_view text);

} // namespace consort::cli
