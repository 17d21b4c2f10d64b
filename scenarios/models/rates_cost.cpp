// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/rates_cost.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace consort::sim {

double interpolate(const std::vector<rate_point>& points, double size, bool from_zero) {
  const auto above = std::find_if(points.begin(), points.end(),
                                  [&](const rate_point& one) { return one.size >= size; });
  if (above == points.begin())
    return from_zero ? above->us * size / above->size : above->us;
  if (above == points.end() && points.size() == 1)
    return points[0].us * size / points[0].size;
  const auto& right = above == points.end() ? points.back() : *above;
  const auto& left = above == points.end() ? points[points.size() - 2] : *(above - 1);
  if (above == points.end() && right.us < left.us)
    return right.us;
  return left.us + (right.us - left.us) * (size - left.size) / (right.size - left.size);
}

std::vector<rate_point> with_tail(std::vector<rate_point> points) {
  constexpr std::ptrdiff_t least = 3;
  if (points.size() < least)
    return points;
  const auto last = points.back();
  auto first = std::find_if(points.begin(), points.end(), [&](const rate_point& one) {
    return one.size * tail_span >= last.size;
  });
  first = std::min(first, points.end() - least);
  if (points.size() > tail_points_max)
    first = std::max(first, points.end() - std::ptrdiff_t{tail_points_max});
  std::vector<double> slopes;
  for (auto left = first; left != points.end(); ++left)
    for (auto right = left + 1; right != points.end(); ++right)
      slopes.push_back((right->us - left->us) / (right->size - left->size));
  const auto middle = slopes.begin() + static_cast<std::ptrdiff_t>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  points.push_back({2 * last.size, last.us + std::max(*middle, 0.0) * last.size});
  return points;
}

rate_points points_of_rates(std::uint64_t prefill_tokens_per_s, std::uint64_t decode_tokens_per_s,
                            std::uint32_t gain_pm) {
  const double alone = std::floor(1e6 / double(decode_tokens_per_s));
  rate_points made;
  made.prefill = {{1'000'000, 1e12 / double(prefill_tokens_per_s)}};
  made.decode = {{1, alone}, {1'001, alone * (1 + gain_pm)}};
  return made;
}

rates_cost::rates_cost(rate_points points) : decode_measured_(points.decode.back().size) {
  points_.decode = with_tail(std::move(points.decode));
  points_.prefill = with_tail(std::move(points.prefill));
}

double rates_cost::step_us(const step_load& load) const {
  double span = load.decoding == 0 ? 0 : interpolate(points_.decode, load.decoding, false);
  if (const auto tokens = load.prefill_tokens(); tokens > 0)
    span += interpolate(points_.prefill, tokens, true);
  return std::max(span, 1.0);
}

decode_line rates_cost::line_of(std::uint32_t decoding, double) const {
  return {std::max(interpolate(points_.decode, decoding, false), 1.0), 0};
}

double rates_cost::intensity(const step_load& load) const {
  if (!load.chunks.empty())
    return 1;
  return std::clamp(load.decoding / decode_measured_, 0.1, 1.0);
}

namespace {

bool read_number(std::string_view text, double& out) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  return status == std::errc{} && stop == text.data() + text.size() && std::isfinite(out);
}

/// Returns: what is wrong with the line; empty when nothing is.
std::string read_point(std::string_view line, rate_points& out) {
  std::array<std::string_view, 3> fields;
  for (auto& field : fields) {
    const auto comma = line.find(',');
    field = line.substr(0, comma);
    line = comma == std::string_view::npos ? std::string_view{} : line.substr(comma + 1);
  }
  if (!line.empty())
    return "expected three columns, and there is `" + std::string(line.substr(0, 40)) + "` behind";
  rate_point point;
  if (!read_number(fields[1], point.size) || !read_number(fields[2], point.us) || point.size <= 0
      || point.us <= 0)
    return "expected `decode,<sequences>,<us>` or `prefill,<tokens>,<us>`, both above 0";
  if (point.size > profile_size_max || point.size != std::floor(point.size))
    return "sizes are whole numbers of sequences or tokens, at most "
           + std::to_string(static_cast<std::int64_t>(profile_size_max));
  if (point.us > profile_us_max)
    return "no step takes longer than " + std::to_string(static_cast<std::int64_t>(profile_us_max))
           + " us, which are an hour";
  if (fields[0] != "decode" && fields[0] != "prefill")
    return "unknown kind `" + std::string(fields[0]) + "`: expected decode or prefill";
  auto& list = fields[0] == "decode" ? out.decode : out.prefill;
  if (!list.empty() && list.back().size >= point.size)
    return "sizes of one kind must ascend";
  list.push_back(point);
  return {};
}

} // namespace

std::string read_measurement(std::string_view comment, measurement& into) {
  constexpr double chips_max = 4'096;
  const auto trim = [](std::string_view& text) {
    while (!text.empty() && text.front() == ' ')
      text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
      text.remove_suffix(1);
  };
  comment.remove_prefix(std::min<std::size_t>(comment.size(), 1)); // The `#`.
  const auto colon = comment.find(':');
  auto key = comment.substr(0, colon);
  auto said = colon == std::string_view::npos ? std::string_view{} : comment.substr(colon + 1);
  trim(key);
  trim(said);
  if (said.empty())
    return {};
  if (key == "model")
    into.model = said;
  if (key == "dtype")
    into.dtype = said;
  if (key != "chips")
    return {};
  double chips = 0;
  if (!read_number(said, chips) || chips < 1 || chips > chips_max || chips != std::floor(chips))
    return "expected `# chips: ` and a whole number from 1 on";
  into.chips = static_cast<std::uint32_t>(chips);
  return {};
}

profile_reading read_profile(std::string_view text) {
  profile_reading made;
  std::uint32_t number = 0;
  bool header = false;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    ++number;
    if (!line.empty() && line.back() == '\r')
      line.remove_suffix(1);
    if (line.empty())
      continue;
    if (line.front() == '#') {
      made.error = read_measurement(line, made.of);
    } else if (!header) {
      header = true;
      made.error = line == "kind,size,us" ? "" : "expected the header `kind,size,us`";
    } else {
      made.error = read_point(line, made.points);
    }
    made.line = number;
    if (!made.error.empty())
      return made;
  }
  made.line = std::max(number, 1U);
  if (made.points.decode.empty() || made.points.prefill.empty())
    made.error = "needs at least one decode and one prefill point";
  else
    made.line = 0;
  return made;
}

} // namespace consort::sim
