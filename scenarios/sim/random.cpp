// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/random.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <vector>

namespace consort::sim {

namespace {

/// Of a lognormal: e^10 is a spread of twenty thousand.
constexpr double sigma_max = 10;

struct notation {
  std::string_view word;
  distribution::kind shape;
  std::size_t parameters;
};
constexpr std::array<notation, 3> notations{{{"uniform", distribution::kind::uniform, 2},
                                             {"exponential", distribution::kind::exponential, 1},
                                             {"lognormal", distribution::kind::lognormal, 2}}};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

constexpr std::uint64_t fold_prime = 0x100000001b3ULL;
/// What so many zero bytes multiply a state by.
constexpr auto zero_powers = [] {
  std::array<std::uint64_t, 9> made{1};
  for (std::size_t at = 1; at < made.size(); ++at)
    made[at] = made[at - 1] * fold_prime;
  return made;
}();

/// A decimal number in [0, max].
std::optional<double> parse_number(std::string_view text, double max) {
  text = trimmed(text);
  double number = 0;
  const auto [stop, status]
      = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (status != std::errc{} || stop != text.data() + text.size() || !(number >= 0 && number <= max))
    return std::nullopt;
  return number;
}

std::optional<std::vector<double>> parse_parameters(std::string_view text, double max) {
  std::vector<double> numbers;
  for (;;) {
    const auto comma = text.find(',');
    const auto number = parse_number(text.substr(0, comma), max);
    if (!number)
      return std::nullopt;
    numbers.push_back(*number);
    if (comma == std::string_view::npos)
      return numbers;
    text.remove_prefix(comma + 1);
  }
}

} // namespace

random_source::random_source(std::uint64_t seed, std::string_view concern)
    : generator_(core::mix(seed) ^ fold(fold_start, concern)) {}

double random_source::unit() {
  // 53 bits: every double in [0, 1) of that spacing is equally likely.
  return static_cast<double>(bits() >> 11U) * 0x1.0p-53;
}

double random_source::exponential() {
  // log1p keeps the small draws exact and never meets log(0).
  return -std::log1p(-unit());
}

double random_source::normal() {
  const double radius = std::sqrt(2 * exponential());
  return radius * std::cos(2 * std::numbers::pi * unit());
}

double distribution::draw(random_source& chance) const {
  switch (shape) {
  case kind::uniform: return first + (second - first) * chance.unit();
  case kind::exponential: return first * chance.exponential();
  case kind::lognormal: return first * std::exp(second * chance.normal());
  case kind::constant: break;
  }
  return first;
}

double distribution::median() const {
  switch (shape) {
  case kind::uniform: return (first + second) / 2;
  case kind::exponential: return first * std::numbers::ln2;
  case kind::lognormal:
  case kind::constant: break;
  }
  return first;
}

double distribution::largest() const {
  switch (shape) {
  case kind::uniform: return second;
  case kind::exponential:
  case kind::lognormal: return first > 0 ? std::numeric_limits<double>::infinity() : 0;
  case kind::constant: break;
  }
  return first;
}

result<distribution> parse_distribution(std::string_view text, double max) {
  const error malformed{recovery::refuse, "invalid_file",
                        "`" + std::string(text)
                            + "` is not a number, uniform(low,high), exponential(mean) or "
                              "lognormal(median,sigma)"};
  const auto whole = trimmed(text);
  if (const auto number = parse_number(whole, max))
    return distribution{distribution::kind::constant, *number, 0};
  const auto open = whole.find('(');
  if (open == std::string_view::npos || whole.back() != ')')
    return malformed;
  const auto parameters = parse_parameters(whole.substr(open + 1, whole.size() - open - 2), max);
  if (parameters && parameters->size() == 2) {
    const bool spread = whole.starts_with("lognormal") && parameters->back() > sigma_max;
    if (spread || (whole.starts_with("uniform") && parameters->front() > parameters->back()))
      return error{recovery::refuse, "invalid_file",
                   "`" + std::string(text)
                       + "`: " + (spread ? "sigma is above 10" : "low is above high")};
  }
  for (const auto& known : notations)
    if (known.word == whole.substr(0, open) && parameters && parameters->size() == known.parameters)
      return distribution{known.shape, parameters->front(), parameters->back()};
  return malformed;
}

std::uint64_t fold(std::uint64_t state, std::string_view bytes) {
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    state *= fold_prime;
  }
  return state;
}

std::uint64_t fold(std::uint64_t state, std::uint64_t number) {
  std::size_t left = zero_powers.size() - 1;
  for (; number != 0; number >>= 8U, --left) {
    state ^= number & 0xFFU;
    state *= fold_prime;
  }
  // Its leading zero bytes, all at once: most numbers are small.
  return state * zero_powers[left];
}

} // namespace consort::sim
