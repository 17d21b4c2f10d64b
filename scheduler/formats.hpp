// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether a device runs a model's format as it is. Pure.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace consort::core {

/// `*` in the pattern stands for one character or more, whatever they are: `server/*/*` fits what
/// has a `/` in its name, as the ids of hubs and paths do.
[[nodiscard]] inline bool fits_format(std::string_view pattern, std::string_view format) {
  std::size_t at = 0, in = 0;
  std::size_t star = std::string_view::npos, taken = 0; // Where to try again with a longer `*`.
  while (in < format.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      taken = ++in; // One character at least.
    } else if (at < pattern.size() && pattern[at] == format[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in = ++taken;
    } else {
      return false;
    }
  }
  return at == pattern.size();
}

/// `formats` as a device lists them: words, or patterns of words.
[[nodiscard]] inline bool runs_format(const std::vector<std::string>& formats,
                                      std::string_view format) {
  return std::any_of(formats.begin(), formats.end(), [&](std::string_view one) {
    return one == format || (one.find('*') != std::string_view::npos && fits_format(one, format));
  });
}

} // namespace consort::core
