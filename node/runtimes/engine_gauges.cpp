// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/engine_gauges.hpp"

#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr double figure_max = 9e15; ///< Exact in a double.

/// One sample of the text format: `name{label="value",...} number [time]`.
struct sample {
  std::string_view name;
  std::string_view labels;
  double value = 0;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || !std::isfinite(value) || value < 0 || value > figure_max)
    return std::nullopt;
  return value;
}

/// Where the labels end: a brace inside a label's text does not count.
std::size_t labels_end(std::string_view line, std::size_t from) {
  bool quoted = false;
  for (auto at = from; at < line.size(); ++at) {
    if (quoted && line[at] == '\\')
      ++at;
    else if (line[at] == '"')
      quoted = !quoted;
    else if (line[at] == '}' && !quoted)
      return at;
  }
  return std::string_view::npos;
}

std::optional<sample> sample_of(std::string_view line) {
  line = trimmed(line);
  if (line.empty() || line.front() == '#')
    return std::nullopt;
  sample out;
  const auto end = line.find_first_of("{ \t");
  if (end == std::string_view::npos)
    return std::nullopt;
  out.name = line.substr(0, end);
  auto rest = line.substr(end);
  if (rest.front() == '{') {
    const auto close = labels_end(rest, 1);
    if (close == std::string_view::npos)
      return std::nullopt;
    out.labels = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
  }
  const auto value = number_of(trimmed(rest));
  if (!value)
    return std::nullopt;
  out.value = *value;
  return out;
}

/// A label's value as a number.
std::optional<double> label_of(std::string_view labels, const std::string& name) {
  for (auto at = labels.find(name); at != std::string_view::npos; at = labels.find(name, at + 1)) {
    const bool begins = at == 0 || labels[at - 1] == ',' || labels[at - 1] == ' ';
    const auto rest = labels.substr(at + name.size());
    if (begins && rest.starts_with("=\""))
      return number_of(rest.substr(2, rest.find('"', 2) - 2));
  }
  return std::nullopt;
}

/// Figures by our own names: sums over their series, but of shares and sizes the highest.
class figures {
public:
  void add(const std::string& what, double value) {
    auto& known = values_[what];
    const bool highest = what == "kv_used" || what == "kv_block_tokens";
    known = highest && known ? std::max(*known, value) : known.value_or(0) + value;
  }
  [[nodiscard]] bool has(const std::string& what) const { return values_.contains(what); }
  [[nodiscard]] std::optional<std::uint64_t> whole(const std::string& what) const {
    const auto found = values_.find(what);
    return found == values_.end()
               ? std::nullopt
               : std::optional(static_cast<std::uint64_t>(std::min(*found->second, figure_max)));
  }
  [[nodiscard]] std::optional<double> get(const std::string& what) const {
    const auto found = values_.find(what);
    return found == values_.end() ? std::nullopt : found->second;
  }

private:
  std::map<std::string, std::optional<double>> values_;
};

figures from_text(const metrics_rule& rule, std::string_view text) {
  figures out;
  for (const auto& [what, sources] : rule.figures)
    for (const auto& source : sources) {
      if (out.has(what))
        break;
      for (auto left = text; !left.empty();) {
        const auto end = left.find('\n');
        const auto one = sample_of(left.substr(0, end));
        left = end == std::string_view::npos ? std::string_view{} : left.substr(end + 1);
        if (!one || one->name != source.at)
          continue;
        const auto value = source.label.empty() ? std::optional(one->value)
                                                : label_of(one->labels, source.label);
        if (value)
          out.add(what, *value / source.divide);
      }
    }
  return out;
}

figures from_json(const metrics_rule& rule, const json& root) {
  figures out;
  // Of a list of iterations the last one is now.
  const auto& now = root.is_array() && !root.empty() ? root.back() : root;
  for (const auto& [what, sources] : rule.figures)
    for (const auto& source : sources) {
      const json::json_pointer at(source.at);
      if (out.has(what) || !now.is_structured() || !now.contains(at) || !now[at].is_number())
        continue;
      if (const auto value = now[at].get<double>(); value >= 0 && value <= figure_max)
        out.add(what, value / source.divide);
    }
  // What is emptied by reading and is empty: nothing ran since.
  if (root.is_array() && root.empty())
    for (const auto* what : {"running", "waiting"})
      if (rule.figures.contains(what))
        out.add(what, 0);
  return out;
}

/// Of the rule's figures those that were not read, by the names that were looked for.
std::string absent(const metrics_rule& rule, const figures& read) {
  std::string made;
  for (const auto& [what, sources] : rule.figures) {
    if (read.has(what))
      continue;
    std::string names;
    for (const auto& source : sources)
      names += (names.empty() ? "`" : " or `") + source.at
               + (source.label.empty() ? "`" : "{" + source.label + "}`");
    made += (made.empty() ? "" : ", ") + names;
  }
  return made;
}

} // namespace

result<gauge_reading> read_gauges(const metrics_rule& rule, std::string_view text) {
  if (text.size() > limits::server_metrics_bytes_max)
    return error{recovery::retry_later, "server_metrics", "its metrics are too large"};
  figures read;
  bool silent = text.empty();
  if (rule.json) {
    const auto root = read_server_json(text);
    if (!root.is_structured())
      return error{recovery::retry_later, "server_metrics", "its metrics are no JSON"};
    silent = root.empty();
    read = from_json(rule, root);
  } else {
    read = from_text(rule, text);
  }
  engine_gauges out;
  out.running = read.whole("running");
  out.waiting = read.whole("waiting");
  out.kv_tokens = read.whole("kv_tokens");
  const auto blocks = read.get("kv_blocks"), tokens = read.get("kv_block_tokens");
  if (!out.kv_tokens && blocks && tokens && *blocks * *tokens <= figure_max)
    out.kv_tokens = static_cast<std::uint64_t>(*blocks * *tokens);
  auto used = read.get("kv_used");
  if (const auto some = read.get("kv_used_blocks"); !used && some && blocks && *blocks > 0)
    used = *some / *blocks;
  if (used)
    out.kv_used_pm = static_cast<std::uint32_t>(std::min(*used, 1.0) * 1000);
  return gauge_reading{out, silent ? std::string() : absent(rule, read)};
}

namespace {

/// So that their product fits: nothing has as much.
constexpr std::uint64_t kv_tokens_max = std::uint64_t{1} << 40U;
constexpr std::uint64_t sequences_max = std::uint64_t{1} << 20U;

} // namespace

capacity_vector capacity_by(capacity_vector declared, const engine_gauges& gauges,
                            std::uint64_t ours, duration_us age_us) {
  const auto total = gauges.running.value_or(0) + gauges.waiting.value_or(0);
  const auto foreign = total > ours ? total - ours : 0;
  if (gauges.running || gauges.waiting)
    declared.foreign_sequences = {foreign, figure_source::engine, age_us};
  if (gauges.kv_tokens) {
    // What others hold of it is not told apart: their share by their number.
    // Multiplied before it is divided: a small cache is all remainder. More is not believed.
    const auto all = std::min(*gauges.kv_tokens, kv_tokens_max);
    const auto used = all * std::min(gauges.kv_used_pm.value_or(0), 1'000U) / 1'000;
    const auto counted = std::min(total, sequences_max);
    const auto theirs = total > 0 ? used * std::min(foreign, counted) / counted : 0;
    declared.kv_tokens = {all - theirs, figure_source::engine, age_us};
  }
  return declared;
}

} // namespace consort::node
