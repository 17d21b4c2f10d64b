// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Step times from measured points: how long a decode step takes by batch size, how long a prompt
/// takes by length. What `consort bench --profile` learns from a live device, and, with two points,
/// what a spec in tokens per second says. Standard library only; immutable.

#include "scenarios/models/step_cost.hpp"

#include <string>
#include <string_view>

namespace consort::sim {

/// A measured point; times between two are interpolated, beyond the last they go on in a line that
/// never falls.
struct rate_point {
  double size = 0; ///< Sequences of a decode step, or tokens of a prompt.
  double us = 0;
};

/// What a device's times were measured with.
struct measurement {
  std::string file;        ///< Of points, or the folder of tables; empty = it was not measured.
  std::string where;       ///< `file:line: field` that names it.
  std::string model;       ///< As its server called it; empty = not said, as with the next two.
  std::string dtype;       ///< Of its weights, in the words of bytes_of_dtype().
  std::uint32_t chips = 0; ///< That worked as one.
};

/// Reads a comment `# model: NAME`, `# dtype: fp8` or `# chips: 4` (1 to 4096); any other says
/// nothing. Returns: what is wrong with it; empty when nothing is.
[[nodiscard]] std::string read_measurement(std::string_view comment, measurement& into);

/// Requires: each list has a point, sizes ascend.
struct rate_points {
  std::vector<rate_point> decode;
  std::vector<rate_point> prefill;
};

/// Decode with `gain_pm` per mille of growth per further sequence; prefill at a constant rate.
[[nodiscard]] rate_points points_of_rates(std::uint64_t prefill_tokens_per_s,
                                          std::uint64_t decode_tokens_per_s, std::uint32_t gain_pm);

/// Bounds of a profile's points: what goes on in a line from them, up to the longest prompt, is far
/// from the end of virtual time.
inline constexpr double profile_size_max = 16'777'216; ///< Sequences or tokens.
inline constexpr double profile_us_max = 3.6e9;        ///< An hour.

/// What a profile holds, or what is wrong with it.
struct profile_reading {
  rate_points points;
  measurement of;         ///< What its comments say.
  std::uint32_t line = 0; ///< Of the error; 0 = none.
  std::string error;
};

/// Reads lines `decode,<sequences>,<us>` and `prefill,<tokens>,<us>` below the header
/// `kind,size,us`; `#` begins a comment, see read_measurement(). Sizes are whole, and at most
/// profile_size_max, times at most profile_us_max.
[[nodiscard]] profile_reading read_profile(std::string_view text);

/// Beyond its last point a curve goes on with the median slope between its last ones, so that the
/// noise of one measurement is not multiplied. The next two say which ones: those of at least this
/// part of the largest size, five where sizes double; and how many of these, the largest.
inline constexpr double tail_span = 16;
inline constexpr std::size_t tail_points_max = 8;

/// The curve with a point more, at twice the last size, which lies on that line. Two points or one
/// are left as they are: they have no median. Requires: a point.
[[nodiscard]] std::vector<rate_point> with_tail(std::vector<rate_point> points);

class rates_cost final : public step_cost {
public:
  explicit rates_cost(rate_points points);

  [[nodiscard]] double step_us(const step_load& load) const override;
  [[nodiscard]] decode_line line_of(std::uint32_t decoding, double decode_kv) const override;
  [[nodiscard]] double intensity(const step_load& load) const override;

private:
  rate_points points_;         ///< With tails.
  double decode_measured_ = 0; ///< Most sequences that were.
};

/// Interpolates; below the first point through the origin when `from_zero`, else flat. Beyond the
/// last the line of the last two goes on, unless it falls: then the last time stays.
[[nodiscard]] double interpolate(const std::vector<rate_point>& points, double size,
                                 bool from_zero);

} // namespace consort::sim
