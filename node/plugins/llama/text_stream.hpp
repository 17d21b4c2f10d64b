// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Turns the bytes of generated tokens into text that may be shown: whole UTF-8 characters only,
/// nothing of a stop string, nothing that may still become one. Deterministic: the same bytes give
/// the same text however they are cut. Holds back at most 3 bytes of a character and one stop
/// string less a byte.

#include <string>
#include <string_view>
#include <vector>

namespace consort::llama {

/// Lets whole UTF-8 characters through; bytes that can never form one become U+FFFD.
class utf8_filter {
public:
  /// Returns: the characters completed by these bytes.
  std::string push(std::string_view bytes);
  /// Returns: U+FFFD when a character was cut, else nothing. The filter is empty afterwards.
  std::string finish();

private:
  std::string held_; ///< A proper prefix of a character.
};

class text_stream {
public:
  /// Requires: no stop string is empty.
  explicit text_stream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Returns: text that may be shown now. After a stop string was seen it returns nothing more.
  std::string push(std::string_view bytes);
  /// Returns: what was held back, unless a stop string was seen.
  std::string finish();
  [[nodiscard]] bool stopped() const { return stopped_; }

private:
  std::string release();

  std::vector<std::string> stops_;
  utf8_filter characters_;
  std::string held_; ///< Text that ends in a proper prefix of a stop string.
  bool stopped_ = false;
};

} // namespace consort::llama
