// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/key_mask.hpp"

#include "node/limits.hpp"

#include <algorithm>
#include <string_view>

namespace consort::node {

namespace {

constexpr std::string_view mask = masked_key;

void replace_all(std::string& text, const std::string& what) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + mask.size()))
    text.replace(at, what.size(), mask);
}

/// Words that were cut may end in the middle of the key.
void mask_end(std::string& said, const std::string& key) {
  for (auto bytes = std::min(key.size(), said.size()); bytes >= limits::key_bytes_min; --bytes)
    if (std::string_view(said).ends_with(std::string_view(key).substr(0, bytes))) {
      said.replace(said.size() - bytes, bytes, mask);
      return;
    }
}

} // namespace

std::string without_key(std::string said, const std::string& key) {
  if (key.size() < limits::key_bytes_min)
    return said;
  const bool cut = said.size() >= limits::server_message_bytes_max;
  if (cut)
    mask_end(said, key);
  replace_all(said, "Bearer " + key);
  replace_all(said, key);
  return said;
}

std::string text_without_key(std::string text, const std::string& key) {
  if (key.size() >= limits::key_text_bytes_min)
    replace_all(text, key);
  return text;
}

} // namespace consort::node
