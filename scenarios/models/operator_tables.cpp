// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/operator_tables.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>

namespace consort::sim {

namespace {

constexpr std::size_t table_rows_max = 1'000'000;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> made;
  for (;;) {
    const auto comma = line.find(',');
    made.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos)
      return made;
    line.remove_prefix(comma + 1);
  }
}

bool read_field(std::string_view field, double& out) {
  const auto [stop, status] = std::from_chars(field.data(), field.data() + field.size(), out);
  return status == std::errc{} && stop == field.data() + field.size() && std::isfinite(out)
         && out >= 0;
}

/// One file's rows: numbers, and a word in the column `layer` if it has one. What a column holds
/// its header says.
class table_reader {
public:
  /// `columns`: all of them, the times last, in microseconds.
  table_reader(std::string name, std::vector<std::string_view> columns)
      : name_(std::move(name)), columns_(std::move(columns)) {}

  /// Numbers are in the order of `columns`.
  using row_handler = std::function<void(const std::string&, const std::vector<double>&)>;

  /// Returns: what is wrong, naming file and line; empty when nothing is.
  std::string read(const operator_tables::text_of& file, bool required, const row_handler& take,
                   measurement* of = nullptr) {
    const auto text = file(name_);
    if (!text)
      return required ? "cannot read " + name_ + ": a table needs it" : "";
    std::string_view rest(*text);
    std::string_view header;
    for (std::size_t number = 1; !rest.empty(); ++number) {
      auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      if (number > table_rows_max)
        return name_ + ": more than " + std::to_string(table_rows_max) + " rows";
      if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
      if (line.empty() || line == header)
        continue; // Some files repeat their header.
      std::string wrong;
      if (line.front() == '#')
        wrong = of == nullptr ? std::string() : read_measurement(line, *of);
      else if (header.empty())
        wrong = read_header(header = line);
      else if (split(line))
        take(word_, values_);
      else
        wrong = "expected " + expected() + ": " + std::to_string(columns_.size())
                + " columns, finite numbers from 0 on";
      if (!wrong.empty())
        return name_ + ":" + std::to_string(number) + ": " + wrong;
    }
    return {};
  }

private:
  [[nodiscard]] std::string expected() const {
    std::string made;
    for (const auto one : columns_)
      made += (made.empty() ? "`" : ",") + std::string(one);
    return made + "`";
  }

  /// Finds out where each column is. Returns: what is wrong.
  std::string read_header(std::string_view line) {
    const auto names = fields_of(line);
    const auto known = [&](std::string_view name) {
      return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
    };
    if (std::none_of(names.begin(), names.end(), known))
      return "expected the header " + expected() + ", and there is `"
             + std::string(line.substr(0, 60)) + "`";
    for (const auto name : names)
      if (!known(name))
        return "unknown column `" + std::string(name) + "`: expected " + expected()
               + (name.substr(0, 4) == "time" ? ", times in microseconds" : "");
    for (const auto column : columns_)
      if (std::count(names.begin(), names.end(), column) != 1)
        return "expected " + expected() + ", each once: see `" + std::string(column) + "`";
    for (const auto column : columns_)
      places_.push_back(
          static_cast<std::size_t>(std::find(names.begin(), names.end(), column) - names.begin()));
    return {};
  }

  bool split(std::string_view line) {
    values_.clear();
    const auto fields = fields_of(line);
    if (fields.size() != columns_.size())
      return false;
    for (std::size_t at = 0; at < columns_.size(); ++at) {
      const auto field = fields[places_[at]];
      double number = 0;
      if (columns_[at] == "layer")
        word_ = field;
      else if (read_field(field, number))
        values_.push_back(number);
      else
        return false;
    }
    return true;
  }

  std::string name_;
  std::vector<std::string_view> columns_;
  std::vector<std::size_t> places_; ///< Of each of them, in the file.
  std::string word_;
  std::vector<double> values_;
};

void sort_points(std::map<std::string, std::vector<rate_point>>& curves) {
  for (auto& [name, points] : curves)
    std::sort(points.begin(), points.end(),
              [](const rate_point& a, const rate_point& b) { return a.size < b.size; });
}

/// Where `value` lies on an axis: the lower index and the share of the way to the next.
std::pair<std::size_t, double> locate(const std::vector<double>& axis, double value) {
  if (axis.size() < 2)
    return {0, 0};
  const auto above = std::upper_bound(axis.begin(), axis.end() - 1, value);
  const auto upper = std::max<std::ptrdiff_t>(above - axis.begin(), 1);
  const auto low = static_cast<std::size_t>(upper - 1);
  // Beyond the last point the share passes 1: a line goes on. Below the first it stays there.
  const double share = (value - axis[low]) / (axis[low + 1] - axis[low]);
  return {low, std::max(share, 0.0)};
}

} // namespace

void attention_grid::finish() {
  std::array<std::set<double>, axes_count> seen;
  for (const auto& [at, us] : cells_)
    for (std::size_t axis = 0; axis < axes_count; ++axis)
      seen[axis].insert(at[axis]);
  std::size_t size = cells_.empty() ? 0 : 1;
  for (std::size_t axis = 0; axis < axes_count; ++axis) {
    axes_[axis].assign(seen[axis].begin(), seen[axis].end());
    size *= axes_[axis].size();
  }
  values_.assign(size, -1);
  std::array<std::size_t, axes_count> cell{};
  for (std::size_t at = 0; at < size; ++at) {
    std::size_t rest = at;
    for (std::size_t axis = axes_count; axis-- > 0;) {
      cell[axis] = rest % axes_[axis].size();
      rest /= axes_[axis].size();
    }
    const auto found
        = cells_.find({axes_[0][cell[0]], axes_[1][cell[1]], axes_[2][cell[2]], axes_[3][cell[3]]});
    if (found != cells_.end())
      values_[at] = found->second;
    // A hole: the value of the neighbour below on the last axis that has one.
    for (std::size_t axis = axes_count; values_[at] < 0 && axis-- > 0;)
      if (cell[axis] > 0) {
        auto lower = cell;
        --lower[axis];
        values_[at] = values_[offset(lower)];
      }
    values_[at] = std::max(values_[at], 0.0);
  }
  cells_.clear();
}

std::size_t attention_grid::offset(const std::array<std::size_t, axes_count>& cell) const {
  std::size_t at = 0;
  for (std::size_t axis = 0; axis < axes_count; ++axis)
    at = at * axes_[axis].size() + cell[axis];
  return at;
}

double attention_grid::at(const place& where) const {
  std::array<std::size_t, axes_count> low{};
  std::array<double, axes_count> share{};
  for (std::size_t axis = 0; axis < axes_count; ++axis)
    std::tie(low[axis], share[axis]) = locate(axes_[axis], where[axis]);
  double sum = 0;
  for (std::size_t corner = 0; corner < (1U << axes_count); ++corner) {
    double weight = 1;
    auto cell = low;
    for (std::size_t axis = 0; axis < axes_count; ++axis) {
      const bool upper = (corner >> axis & 1U) != 0;
      weight *= upper ? share[axis] : 1 - share[axis];
      cell[axis] += upper && axes_[axis].size() > 1 ? 1 : 0;
    }
    if (weight != 0)
      sum += weight * values_[offset(cell)];
  }
  return std::max(sum, 0.0);
}

std::shared_ptr<const operator_tables> operator_tables::load(const text_of& file,
                                                             std::string& error) {
  auto made = std::make_shared<operator_tables>();
  const auto curves = [](auto& into) {
    return [&into](const std::string& layer, const std::vector<double>& row) {
      into[layer].push_back({row[0], row[1]});
    };
  };
  error = table_reader("dense.csv", {"layer", "tokens", "time_us"})
              .read(file, true, curves(made->dense), &made->of);
  if (error.empty())
    error = table_reader("per_sequence.csv", {"layer", "sequences", "time_us"})
                .read(file, true, curves(made->per_sequence));
  if (error.empty())
    error = table_reader("attention.csv",
                         {"prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"})
                .read(file, true, [&](const std::string&, const std::vector<double>& row) {
                  made->attention.add({row[0], row[1], row[2], row[3]}, row[4]);
                });
  if (error.empty())
    error = table_reader("moe.csv", {"tokens", "activated_experts", "time_us"})
                .read(file, false, [&](const std::string&, const std::vector<double>& row) {
                  made->experts[row[0]].push_back({row[1], row[2]});
                });
  made->attention.finish();
  if (error.empty()
      && (made->dense.empty() || made->per_sequence.empty() || made->attention.empty()))
    error = "dense.csv, per_sequence.csv and attention.csv need rows";
  if (!error.empty())
    return nullptr;
  sort_points(made->dense);
  sort_points(made->per_sequence);
  for (auto& [tokens, points] : made->experts)
    std::sort(points.begin(), points.end(),
              [](const rate_point& a, const rate_point& b) { return a.size < b.size; });
  return made;
}

} // namespace consort::sim
