// SPDX-License-Identifier: Apache-2.0
#include "messages/wire_check.hpp"

#include <algorithm>

namespace consort::messages {

namespace {

/// Bytes of the well-formed character at the front of `bytes`; 0 when there is none.
std::size_t character_bytes(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80)
    return 1;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() < size)
    return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((at(i) & 0xC0U) != 0x80)
      return 0;
  // The second byte rules out overlong forms, surrogates and values above U+10FFFF.
  const bool bad_second = (lead == 0xE0 && at(1) < 0xA0) || (lead == 0xED && at(1) > 0x9F)
                          || (lead == 0xF0 && at(1) < 0x90) || (lead == 0xF4 && at(1) > 0x8F);
  return bad_second ? 0 : size;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
         || std::string_view("._/:@+-").find(c) != std::string_view::npos;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

bool is_ascii(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

} // namespace

bool is_utf8(std::string_view bytes) {
  if (is_ascii(bytes))
    return true;
  while (!bytes.empty()) {
    const std::size_t size = character_bytes(bytes);
    if (size == 0)
      return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string repaired(std::string_view bytes, std::size_t bytes_max) {
  std::string out;
  out.reserve(std::min(bytes.size(), bytes_max));
  while (!bytes.empty()) {
    const std::size_t size = character_bytes(bytes);
    if (out.size() + std::max<std::size_t>(size, 1) > bytes_max)
      break;
    if (size == 0)
      out += '?';
    else
      out += bytes.substr(0, size);
    bytes.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

void wire_check::fail(std::string_view field, std::string_view why) {
  if (ok())
    why_ = std::string(field) + " " + std::string(why);
}

error wire_check::failure(frame_kind kind) const {
  return error{recovery::refuse, "bad_frame", std::string(name_of(kind)) + ": " + why_};
}

bool wire_check::check_bytes(std::size_t bytes, std::string_view field, std::size_t bytes_max) {
  if (bytes <= bytes_max)
    return true;
  fail(field, "has " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(bytes_max));
  return false;
}

bool wire_check::check_name(std::string_view text, std::string_view field) {
  if (!check_bytes(text.size(), field, limits::name_bytes_max))
    return false;
  const bool good = !text.empty() && std::all_of(text.begin(), text.end(), is_name_character);
  if (!good)
    fail(field, text.empty() ? "is empty" : "has a character that names do not have");
  return good;
}

bool wire_check::check_label(std::string_view text, std::string_view field, std::size_t bytes_max) {
  if (!check_text(text, field, bytes_max))
    return false;
  const bool good = std::none_of(text.begin(), text.end(), is_control);
  if (!good)
    fail(field, "has a control character");
  return good;
}

bool wire_check::check_text(std::string_view text, std::string_view field, std::size_t bytes_max) {
  if (!check_bytes(text.size(), field, bytes_max))
    return false;
  const bool good = is_utf8(text);
  if (!good)
    fail(field, "is not UTF-8");
  return good;
}

bool wire_check::check_digest(std::string_view text, std::string_view field) {
  const bool hex = text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  const bool good = text.empty() || (hex && text.size() == limits::digest_bytes);
  if (!good)
    fail(field, "is not 64 lower-case hex digits");
  return good;
}

bool wire_check::check_count(std::size_t count, std::size_t max, std::string_view field) {
  if (count <= max)
    return true;
  fail(field, "has " + std::to_string(count) + " elements; the limit is " + std::to_string(max));
  return false;
}

} // namespace consort::messages
