// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Chance in a simulation: one generator per concern, forked from the run's seed by the concern's
/// name, so that a further draw in one shifts no other. Distributions are our own, since those of
/// the standard library differ between implementations.

#include "scheduler/prng.hpp"
#include "scheduler/result.hpp"

#include <string>
#include <string_view>

namespace consort::sim {

class random_source {
public:
  random_source(std::uint64_t seed, std::string_view concern);

  /// Uniform over all 64-bit numbers.
  std::uint64_t bits() { return generator_.next(); }
  /// Uniform in [0, 1).
  double unit();
  /// Exponential with mean 1.
  double exponential();
  /// Standard normal (Box and Muller; one of the pair is used).
  double normal();

private:
  core::prng generator_;
};

/// A positive quantity as scenario files write it: a number, `uniform(low,high)`,
/// `exponential(mean)` or `lognormal(median,sigma)`.
struct distribution {
  enum class kind : std::uint8_t { constant, uniform, exponential, lognormal };
  kind shape = kind::constant;
  double first = 1;
  double second = 0;

  [[nodiscard]] double draw(random_source& chance) const;
  /// Half of what is drawn is not less.
  [[nodiscard]] double median() const;
  /// Nothing that it draws is above; infinite where there is no such bound.
  [[nodiscard]] double largest() const;
  friend bool operator==(const distribution&, const distribution&) = default;
};

/// Parses the notation above. Parameters are at least 0 and at most `max`. Returns: an error whose
/// message says what was expected.
[[nodiscard]] result<distribution> parse_distribution(std::string_view text, double max);

/// FNV-1a over bytes, chained through `state`.
[[nodiscard]] std::uint64_t fold(std::uint64_t state, std::string_view bytes);
[[nodiscard]] std::uint64_t fold(std::uint64_t state, std::uint64_t number);
inline constexpr std::uint64_t fold_start = 0xcbf29ce484222325ULL;

} // namespace consort::sim
