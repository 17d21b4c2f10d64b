// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace consort::cli {

namespace {

using range = std::pair<char32_t, char32_t>;

/// Combining marks, joiners and variation selectors that people's names and models really use.
constexpr std::array<range, 8> zero_width{{{0x0300, 0x036F},
                                           {0x0483, 0x0489},
                                           {0x0591, 0x05BD},
                                           {0x064B, 0x065F},
                                           {0x200B, 0x200F},
                                           {0x20D0, 0x20FF},
                                           {0xFE00, 0xFE0F},
                                           {0xFE20, 0xFE2F}}};
/// East Asian wide and emoji blocks.
constexpr std::array<range, 10> double_width{{{0x1100, 0x115F},
                                              {0x2E80, 0x303E},
                                              {0x3041, 0xA4CF},
                                              {0xA960, 0xA97F},
                                              {0xAC00, 0xD7A3},
                                              {0xF900, 0xFAFF},
                                              {0xFE30, 0xFE6F},
                                              {0xFF00, 0xFF60},
                                              {0x1F300, 0x1FAFF},
                                              {0x20000, 0x3FFFD}}};

template <std::size_t Count>
bool within(char32_t point, const std::array<range, Count>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const range& block) {
    return point >= block.first && point <= block.second;
  });
}

/// Reads one character at `at` and moves past it; a malformed byte reads as U+FFFD.
char32_t next_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  const int extra = lead < 0x80             ? 0
                    : (lead & 0xE0) == 0xC0 ? 1
                    : (lead & 0xF0) == 0xE0 ? 2
                    : (lead & 0xF8) == 0xF0 ? 3
                                            : -1;
  if (extra <= 0)
    return extra == 0 ? lead : 0xFFFD;
  // Cut off in the middle of a character.
  if (at + static_cast<std::size_t>(extra) > text.size())
    return 0xFFFD;
  char32_t point = lead & (0x3FU >> extra);
  for (int i = 0; i < extra; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]);
    if ((byte & 0xC0) != 0x80)
      return 0xFFFD;
    point = (point << 6U) | (byte & 0x3FU);
  }
  at += static_cast<std::size_t>(extra);
  return point;
}

/// SGR code for a state word; empty = none.
std::string_view colour_of(std::string_view word) {
  constexpr std::array good{"alive",  "ready",   "finished", "running",
                            "closed", "healthy", "ok",       "valid"};
  constexpr std::array bad{"lost",     "failed", "open",    "unhealthy", "error",
                           "rejected", "FAIL",   "expired", "revoked"};
  constexpr std::array pending{"draining", "cordoned",  "loading",   "building",
                               "queued",   "compiling", "half-open", "degraded",
                               "warning",  "warn",      "suspect",   "held-off"};
  const auto among = [&](const auto& words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (among(good))
    return "\x1b[32m";
  if (among(bad))
    return "\x1b[31m";
  return among(pending) ? "\x1b[33m" : "";
}

std::string padded(const std::string& cell, std::size_t width, align side,
                   std::string_view colour) {
  const auto used = display_width(cell);
  const std::string space(width > used ? width - used : 0, ' ');
  const auto text = colour.empty() ? cell : std::string(colour) + cell + "\x1b[0m";
  return side == align::left ? text + space : space + text;
}

} // namespace

table::table(std::vector<column> columns) : columns_(std::move(columns)) {}

void table::add(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  for (auto& cell : cells)
    cell = cell.empty() ? "-" : printable(cell);
  rows_.push_back(std::move(cells));
}

std::string table::render(bool wide, bool colour) const {
  std::vector<std::size_t> shown;
  std::vector<std::size_t> widths(columns_.size());
  for (std::size_t at = 0; at < columns_.size(); ++at) {
    if (wide || !columns_[at].wide_only)
      shown.push_back(at);
    widths[at] = std::max(columns_[at].width_min, display_width(columns_[at].title));
    for (const auto& row : rows_)
      widths[at] = std::max(widths[at], display_width(row[at]));
  }
  const auto line = [&](const auto& cell_of, const auto& colour_at) {
    std::string made;
    for (const auto at : shown)
      made += (made.empty() ? "" : "  ")
              + padded(cell_of(at), widths[at], columns_[at].side,
                       colour ? std::string_view(colour_at(at)) : std::string_view{});
    // Trailing blanks wrap on narrow terminals.
    made.erase(made.find_last_not_of(' ') + 1);
    return made + "\n";
  };
  std::string made
      = line([&](auto at) { return columns_[at].title; }, [](auto) { return "\x1b[1m"; });
  for (const auto& row : rows_)
    made += line([&](auto at) { return row[at]; },
                 [&](auto at) { return columns_[at].state ? colour_of(row[at]) : ""; });
  return made;
}

std::string table::render_further(bool wide, bool colour) {
  auto made = render(wide, colour);
  rows_.clear();
  return std::exchange(titled_, true) ? made.substr(made.find('\n') + 1) : made;
}

std::size_t display_width(std::string_view utf8) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < utf8.size();) {
    const auto point = next_point(utf8, at);
    if (point < 0x20 || point == 0x7F || within(point, zero_width))
      continue;
    width += within(point, double_width) ? 2 : 1;
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string made;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto next = at + 1 < text.size() ? static_cast<unsigned char>(text[at + 1]) : 0U;
    // U+0080 to U+009F, among them what begins a sequence as ESC [ does.
    const bool second_set = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    at += second_set ? 1 : 0;
    made += byte < 0x20 || byte == 0x7F || second_set ? '?' : text[at];
  }
  return made;
}

} // namespace consort::cli
