// SPDX-License-Identifier: Apache-2.0
#include "scheduler/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace consort {

namespace {

struct unit {
  std::string_view name;
  double factor;
};

constexpr std::array<unit, 6> duration_units{
    {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 6e7}, {"h", 3.6e9}, {"d", 8.64e10}}};
constexpr std::array<unit, 9> size_units{{{"B", 1},
                                          {"KiB", 1024},
                                          {"MiB", 1048576},
                                          {"GiB", 1073741824},
                                          {"TiB", 1099511627776},
                                          {"kB", 1e3},
                                          {"MB", 1e6},
                                          {"GB", 1e9},
                                          {"TB", 1e12}}};
constexpr double duration_us_max = 10.0 * 365 * 8.64e10;
constexpr double size_bytes_max
    = 9007199254740992.0; // 2^53: exact in JSON readers that use doubles.

/// Splits `text` into a plain decimal number and the rest; no sign, exponent, hex or infinity.
std::optional<std::pair<double, std::string_view>> split_number(std::string_view text) {
  const auto end = text.find_first_not_of("0123456789.");
  const auto digits = text.substr(0, end);
  double number = 0;
  const auto [stop, status] = std::from_chars(digits.data(), digits.data() + digits.size(), number,
                                              std::chars_format::fixed);
  if (digits.empty() || status != std::errc{} || stop != digits.data() + digits.size())
    return std::nullopt;
  return std::pair{number, end == std::string_view::npos ? std::string_view{} : text.substr(end)};
}

template <std::size_t Count>
std::optional<double> scale(std::string_view text, const std::array<unit, Count>& units,
                            double bare_factor) {
  const auto parts = split_number(text);
  if (!parts)
    return std::nullopt;
  if (parts->second.empty())
    return bare_factor > 0 || parts->first == 0 ? std::optional(parts->first * bare_factor)
                                                : std::nullopt;
  for (const auto& candidate : units)
    if (candidate.name == parts->second)
      return parts->first * candidate.factor;
  return std::nullopt;
}

template <std::size_t Count>
std::string render(double value, const std::array<unit, Count>& units, std::size_t used) {
  std::size_t pick = 0;
  while (pick + 1 < used && value >= units[pick + 1].factor)
    ++pick;
  const double scaled = value / units[pick].factor;
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), scaled < 999.5 ? "%.3g" : "%.0f", scaled);
  return std::string(buffer.data()) + std::string(units[pick].name);
}

} // namespace

std::optional<duration_us> parse_duration(std::string_view text) {
  const auto value = scale(text, duration_units, 0);
  if (!value || *value > duration_us_max)
    return std::nullopt;
  return static_cast<duration_us>(std::llround(*value));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto value = scale(text, size_units, 1);
  if (!value || *value > size_bytes_max)
    return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(*value));
}

std::string format_duration(duration_us span) {
  if (span < 0)
    return "-" + format_duration(-span);
  return render(static_cast<double>(span), duration_units, duration_units.size());
}

std::string format_size(std::uint64_t bytes) {
  return render(static_cast<double>(bytes), size_units, 5);
}

std::string cut_text(std::string_view text, std::size_t bytes_max) {
  auto end = std::min(text.size(), bytes_max);
  const auto goes_on = [&] { return (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U; };
  while (end > 0 && end < text.size() && goes_on())
    --end;
  return std::string(text.substr(0, end));
}

} // namespace consort
