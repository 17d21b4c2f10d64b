// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/wait_times.hpp"

#include "node/limits.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include <ctime>
#include <locale.h>

namespace consort::node {

namespace {

constexpr double epoch_s_min = 1e9;   ///< No span is 31 years long.
constexpr double epoch_ms_min = 1e12; ///< No date is in the year 33658.

duration_us bounded(double seconds) {
  const double most
      = static_cast<double>(limits::server_closed_us_max) / static_cast<double>(limits::second_us);
  return static_cast<duration_us>(std::clamp(seconds, 0.0, most)
                                  * static_cast<double>(limits::second_us));
}

std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  const auto [end, failed]
      = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (failed != std::errc{} || !std::isfinite(value))
    return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// Seconds of one unit, taken off the front; 0 when there is none.
double take_unit(std::string_view& text) {
  struct unit {
    std::string_view name;
    double seconds;
  };
  constexpr std::array<unit, 7> units{
      {{"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"d", 86'400}, {"h", 3'600}, {"m", 60}, {"s", 1}}};
  for (const auto& [name, seconds] : units)
    if (text.starts_with(name)) {
      text.remove_prefix(name.size());
      return seconds;
    }
  return 0;
}

std::optional<duration_us> span_of(std::string_view text, std::int64_t now_s) {
  const auto first = take_number(text);
  if (!first || *first < 0)
    return std::nullopt;
  if (text.empty()) {
    const auto now = static_cast<double>(now_s);
    if (*first >= epoch_ms_min)
      return bounded(*first / 1000 - now);
    return bounded(*first >= epoch_s_min ? *first - now : *first);
  }
  double seconds = 0;
  auto value = first;
  while (true) {
    const auto unit = take_unit(text);
    if (!value || *value < 0 || unit <= 0)
      return std::nullopt;
    seconds += *value * unit;
    if (text.empty())
      return bounded(seconds);
    value = take_number(text);
  }
}

/// What follows the seconds: a fraction, which is not worth reading, and `Z` or `+02:00`. Returns:
/// how far east that is; `rest` stays at what it cannot read.
std::int64_t take_zone(const char*& rest) {
  const auto digit = [&](int at) { return rest[at] >= '0' && rest[at] <= '9'; };
  const auto number = [&](int at) { return (rest[at] - '0') * 10 + (rest[at + 1] - '0'); };
  if (*rest == '.')
    for (++rest; digit(0);)
      ++rest;
  if (*rest == 'Z')
    ++rest;
  else if ((*rest == '+' || *rest == '-') && digit(1) && digit(2) && rest[3] == ':' && digit(4)
           && digit(5)) {
    const auto east_s = number(1) * 3'600 + number(4) * 60;
    const auto sign = *rest == '+' ? 1 : -1;
    rest += 6;
    return sign * east_s;
  }
  return 0;
}

std::optional<duration_us> date_of(std::string_view text, std::int64_t now_s) {
  // Names of months must not depend on the host's language.
  static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
  const std::string copy(text);
  // The three forms of HTTP, of which two are old, and that of RFC 3339.
  for (const auto* format : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                             "%a %b %d %H:%M:%S %Y", "%Y-%m-%dT%H:%M:%S"}) {
    std::tm parts{};
    const char* rest = ::strptime_l(copy.c_str(), format, &parts, plain);
    if (rest == nullptr)
      continue;
    const auto east_s = format[1] == 'Y' ? take_zone(rest) : 0;
    if (*rest == '\0')
      return bounded(static_cast<double>(::timegm(&parts) - east_s - now_s));
  }
  return std::nullopt;
}

} // namespace

std::optional<duration_us> parse_wait(std::string_view text, std::int64_t now_s) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  if (text.empty() || text.size() > limits::server_wait_bytes_max)
    return std::nullopt;
  const auto span = span_of(text, now_s);
  return span ? span : date_of(text, now_s);
}

} // namespace consort::node
