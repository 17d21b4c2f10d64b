// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/text_stream.hpp"

#include <algorithm>
#include <utility>

namespace consort::llama {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

/// How a run of bytes begins: a character of `bytes`, a cut one (0), or no character at all (-1).
int character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80)
    return 1;
  const int length = lead >= 0xC2 && lead <= 0xDF   ? 2
                     : lead >= 0xE0 && lead <= 0xEF ? 3
                     : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                    : -1;
  if (length < 0)
    return -1;
  // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0U : lead == 0xF0 ? 0x90U : 0x80U;
  const unsigned high = lead == 0xED ? 0x9FU : lead == 0xF4 ? 0x8FU : 0xBFU;
  for (std::size_t i = 1; i < static_cast<std::size_t>(length); ++i) {
    if (i >= text.size())
      return 0;
    const unsigned next = byte(i);
    if (next < (i == 1 ? low : 0x80U) || next > (i == 1 ? high : 0xBFU))
      return -1;
  }
  return length;
}

/// Bytes at the end of `text` that begin `stop` without completing it.
std::size_t overlap(std::string_view text, std::string_view stop) {
  for (std::size_t bytes = std::min(text.size(), stop.size() - 1); bytes > 0; --bytes)
    if (text.ends_with(stop.substr(0, bytes)))
      return bytes;
  return 0;
}

} // namespace

std::string utf8_filter::push(std::string_view bytes) {
  held_ += bytes;
  std::string whole;
  std::size_t at = 0;
  while (at < held_.size()) {
    const int length = character_at(std::string_view(held_).substr(at));
    if (length == 0)
      break;
    if (length < 0) {
      whole += replacement;
      ++at;
    } else {
      whole.append(held_, at, static_cast<std::size_t>(length));
      at += static_cast<std::size_t>(length);
    }
  }
  held_.erase(0, at);
  return whole;
}

std::string utf8_filter::finish() {
  const bool cut = !held_.empty();
  held_.clear();
  return cut ? std::string(replacement) : std::string();
}

std::string text_stream::push(std::string_view bytes) {
  if (stopped_)
    return {};
  held_ += characters_.push(bytes);
  return release();
}

std::string text_stream::finish() {
  if (stopped_)
    return {};
  held_ += characters_.finish();
  return std::exchange(held_, {});
}

std::string text_stream::release() {
  std::size_t found = std::string::npos;
  for (const std::string& stop : stops_)
    found = std::min(found, held_.find(stop));
  std::size_t keep = 0;
  if (found == std::string::npos) {
    for (const std::string& stop : stops_)
      keep = std::max(keep, overlap(held_, stop));
    found = held_.size() - keep;
  } else {
    stopped_ = true;
  }
  std::string shown = held_.substr(0, found);
  held_.erase(0, found);
  return shown;
}

} // namespace consort::llama
