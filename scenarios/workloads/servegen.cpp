// SPDX-License-Identifier: Apache-2.0
#include "scenarios/workloads/servegen.hpp"

#include "scenarios/limits.hpp"
#include "scenarios/workloads/line_source.hpp"
#include "scenarios/workloads/synthetic.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <queue>

namespace consort::sim {

namespace {

namespace fs = std::filesystem;

constexpr duration_us window_us = 600 * limits::second_us;
constexpr double window_s = 600;
/// Shapes of gaps: beyond these a Gamma or Weibull distribution leaves what numbers can hold.
constexpr double shape_min = 1e-3;
constexpr double shape_max = 1e6;

struct window {
  double rate = 0; ///< Per second.
  std::string family;
  double first = 0;  ///< Shape.
  double second = 0; ///< Scale, seconds.
};

/// Token counts with their shares, cumulated.
struct histogram {
  std::vector<std::pair<double, std::uint32_t>> steps;

  std::uint32_t draw(random_source& chance) const {
    const double drawn = chance.unit() * steps.back().first;
    const auto found
        = std::upper_bound(steps.begin(), steps.end(), drawn,
                           [](double value, const auto& step) { return value < step.first; });
    return std::max((found == steps.end() ? steps.back() : *found).second, 1U);
  }
};

struct sizes {
  histogram input;
  histogram output;
};

/// `{50: 0.25, 70: 0.75}`, as Python prints a dictionary.
std::optional<histogram> parse_histogram(std::string_view text) {
  histogram made;
  double sum = 0;
  const auto* at = text.data();
  const auto* end = at + text.size();
  while (at != end) {
    if (*at == '-') // Of no size and no share.
      return std::nullopt;
    if ((*at < '0' || *at > '9')) {
      ++at;
      continue;
    }
    double tokens = 0;
    double share = 0;
    const auto left = std::from_chars(at, end, tokens);
    if (left.ec != std::errc{} || left.ptr == end || *left.ptr != ':')
      return std::nullopt;
    at = left.ptr + 1;
    while (at != end && *at == ' ')
      ++at;
    const auto right = std::from_chars(at, end, share);
    if (right.ec != std::errc{} || !(share >= 0 && share <= 1e9) || !(tokens <= limits::tokens_max))
      return std::nullopt;
    at = right.ptr;
    sum += share;
    made.steps.emplace_back(sum, static_cast<std::uint32_t>(tokens));
  }
  return sum > 0 ? std::optional(made) : std::nullopt;
}

result<std::vector<window>> read_windows(const std::string& path) {
  auto lines = line_source::open(path);
  if (!lines)
    return lines.failure();
  std::vector<window> made;
  std::string line;
  for (;;) {
    const auto more = lines->next(line);
    if (!more)
      return more.failure();
    if (!*more)
      return made;
    std::array<std::string, 6> fields;
    std::size_t at = 0;
    for (const char letter : line)
      if (letter == ',' && at + 1 < fields.size())
        ++at;
      else
        fields[at] += letter;
    const auto number = [](const std::string& text, double& out) {
      const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), out);
      return status == std::errc{} && stop == text.data() + text.size() && out >= 0;
    };
    window one;
    double begins = 0;
    if (!number(fields[0], begins) || !number(fields[1], one.rate) || !number(fields[4], one.first)
        || !number(fields[5], one.second) || one.rate > limits::rate_per_s_max)
      return lines->wrong("", "expected window,rate,cv,family,shape,scale");
    if (begins != window_s * static_cast<double>(made.size()))
      return lines->wrong("window", "must begin at "
                                        + std::to_string(made.size() * std::size_t{600})
                                        + ": windows of 600 s follow each other");
    one.family = fields[3];
    if (!one.family.empty() && one.family != "Gamma" && one.family != "Weibull")
      return lines->wrong("family", "`" + one.family + "` is not Gamma, Weibull or nothing");
    if (!one.family.empty() && one.rate > 0 && !(one.first >= shape_min && one.first <= shape_max))
      return lines->wrong("shape", "must be between 0.001 and 1000000");
    made.push_back(std::move(one));
  }
}

result<std::vector<sizes>> read_sizes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const auto parsed = nlohmann::ordered_json::parse(file, nullptr, false);
  const auto wrong = [&](const std::string& what) {
    return error{recovery::refuse, "usage", path + ": " + what};
  };
  if (!parsed.is_object())
    return wrong("is not an object of JSON");
  std::vector<sizes> made;
  for (const auto& [begins, entry] : parsed.items()) {
    const auto text = [&](const char* name) {
      return entry.is_object() && entry.contains(name) && entry[name].is_string()
                 ? entry[name].template get<std::string>()
                 : std::string{};
    };
    const auto words = text("input_tokens").empty() ? text("text_tokens") : text("input_tokens");
    const auto input = parse_histogram(words);
    const auto output = parse_histogram(text("output_tokens"));
    // A span without requests has empty histograms: the one before it stands in.
    if (input && output)
      made.push_back({*input, *output});
    else if (!made.empty())
      made.push_back(made.back());
  }
  return made;
}

class client {
public:
  client(std::vector<window> windows, std::vector<sizes> all, const servegen_settings& settings,
         const std::string& name)
      : windows_(std::move(windows)),
        sizes_(std::move(all)),
        settings_(settings),
        chance_(settings.seed, "client " + name),
        at_(settings.skip_us) {}

  /// Moves to the next arrival. Returns: false when there is none.
  bool advance() {
    for (;;) {
      const auto index = static_cast<std::size_t>(at_ / window_us);
      if (index >= windows_.size() || at_ >= end())
        return false;
      const auto& now = windows_[index];
      const auto next_window = static_cast<time_us>(index + 1) * window_us;
      if (now.rate * settings_.rate_scale <= 0) {
        at_ = next_window;
        continue;
      }
      at_ += drawn_span_us(gap_s(now)) + 1;
      if (at_ < next_window)
        return at_ < end();
      at_ = next_window; // Each window draws its own gaps.
    }
  }

  [[nodiscard]] time_us at() const { return at_; }

  arrival make() {
    const auto share = static_cast<std::size_t>(at_ / (36 * window_us));
    const auto& from = sizes_[std::min(share, sizes_.size() - 1)];
    arrival made;
    made.at = settings_.from + at_ - settings_.skip_us;
    made.prompt_tokens = from.input.draw(chance_);
    made.output_tokens = from.output.draw(chance_);
    return made;
  }

private:
  [[nodiscard]] time_us end() const { return settings_.skip_us + settings_.until - settings_.from; }

  double gap_s(const window& now) {
    double gap = 0;
    if (now.family == "Gamma")
      gap = draw_gamma(chance_, now.first);
    else if (now.family == "Weibull")
      gap = draw_weibull(chance_, now.first, 1) / std::tgamma(1 + 1 / now.first);
    else
      gap = chance_.exponential();
    // Infinite by infinite: a gap that is longer than any window.
    return std::isnan(gap) ? window_s : gap / now.rate / settings_.rate_scale;
  }

  std::vector<window> windows_;
  std::vector<sizes> sizes_;
  servegen_settings settings_;
  random_source chance_;
  time_us at_;
};

class servegen_source final : public arrival_source {
public:
  explicit servegen_source(std::vector<client> clients) : clients_(std::move(clients)) {
    for (std::size_t at = 0; at < clients_.size(); ++at)
      if (clients_[at].advance())
        due_.push({clients_[at].at(), at});
  }

  result<std::optional<arrival>> next() override {
    if (due_.empty())
      return std::optional<arrival>{};
    const auto who = due_.top().second;
    due_.pop();
    auto made = clients_[who].make();
    if (clients_[who].advance())
      due_.push({clients_[who].at(), who});
    return std::optional(std::move(made));
  }

private:
  using turn = std::pair<time_us, std::size_t>;
  std::vector<client> clients_;
  std::priority_queue<turn, std::vector<turn>, std::greater<>> due_;
};

} // namespace

result<arrival_source_ptr> open_servegen(const servegen_settings& settings) {
  constexpr std::string_view trace_end = "-trace.csv";
  std::error_code failed;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(settings.folder, failed))
    if (const auto name = entry.path().filename().string(); name.ends_with(trace_end))
      names.push_back(name.substr(0, name.size() - trace_end.size()));
  // Not in the order of the folder, which differs between machines.
  std::sort(names.begin(), names.end());
  std::vector<client> clients;
  for (const auto& name : names) {
    const auto path = (fs::path(settings.folder) / name).string();
    if (!fs::exists(path + "-dataset.json"))
      continue;
    auto windows = read_windows(path + std::string(trace_end));
    if (!windows)
      return windows.failure();
    auto drawn = read_sizes(path + "-dataset.json");
    if (!drawn)
      return drawn.failure();
    if (drawn->empty())
      continue; // Nobody knows how long its requests are, as without the file.
    if (clients.size() == settings.clients_max)
      return error{recovery::refuse, "usage",
                   settings.folder + ": holds more than " + std::to_string(settings.clients_max)
                       + " clients: move some away"};
    clients.emplace_back(std::move(*windows), std::move(*drawn), settings, name);
  }
  if (clients.empty())
    return error{recovery::refuse, "usage",
                 settings.folder
                     + ": holds no client: expected pairs of NAME-trace.csv and NAME-dataset.json"};
  return arrival_source_ptr(std::make_unique<servegen_source>(std::move(clients)));
}

} // namespace consort::sim
