// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_profile.hpp"

#include "scenarios/sim/summary.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <set>

namespace consort::cli {

namespace {

constexpr std::uint32_t rounds = 4; ///< Requests of each stream at one size.
constexpr std::uint32_t prompt_tokens_min = 16;

/// 1, 2, 4 ... and the bound itself.
std::vector<std::uint32_t> doubling(std::uint32_t from, std::uint32_t to) {
  std::vector<std::uint32_t> made;
  for (auto one = from; one < to; one *= 2)
    made.push_back(one);
  made.push_back(std::max(from, to));
  return made;
}

error nothing_told(const load_options& load, const load_report& seen) {
  auto why = seen.errors.empty() ? std::string("answers too short to tell anything")
                                 : seen.errors.begin()->first;
  if (const auto words = seen.said.find(why); words != seen.said.end())
    why += ": " + words->second;
  return {recovery::refuse, "failed",
          "no profile: " + std::to_string(load.streams) + " streams of "
              + std::to_string(load.input_tokens) + " tokens gave " + why};
}

error several_answered(const std::set<std::string>& devices) {
  return {recovery::refuse, "usage",
          "no profile: " + *devices.begin() + " and " + *std::next(devices.begin())
              + " answered, and a profile is of one device: name it with --device"};
}

} // namespace

result<learned_profile>
learn_profile(const load_options& load,
              const std::function<result<load_report>(const load_options&)>& run) {
  sim::rate_points made;
  std::set<std::string> devices;
  const auto measure = [&](load_options now, bool decode) -> result<double> {
    const auto seen = run(now);
    if (!seen)
      return seen.failure();
    const auto found = sim::percentile(decode ? seen->token_gap_us : seen->first_token_us, 500);
    // Less than a microsecond is no step of any engine: chunks that came together.
    if (!seen->errors.empty() || !found)
      return nothing_told(now, *seen);
    devices.insert(seen->devices.begin(), seen->devices.end());
    if (devices.size() > 1)
      return several_answered(devices);
    return std::max(static_cast<double>(*found), 1.0);
  };
  for (const auto streams : doubling(1, load.streams)) {
    auto now = load;
    now.streams = streams;
    now.requests = streams * rounds;
    now.input_tokens = prompt_tokens_min;
    const auto us = measure(now, true);
    if (!us)
      return us.failure();
    made.decode.push_back({static_cast<double>(streams), *us});
  }
  for (const auto tokens : doubling(prompt_tokens_min, load.input_tokens)) {
    auto now = load;
    now.streams = 1;
    now.requests = rounds;
    now.input_tokens = tokens;
    now.max_tokens = 1;
    const auto us = measure(now, false);
    if (!us)
      return us.failure();
    made.prefill.push_back({static_cast<double>(tokens), *us});
  }
  return learned_profile{std::move(made), devices.empty() ? "" : *devices.begin()};
}

std::string profile_origin(const load_options& load, const std::string& device) {
  const auto& on = device.empty() ? load.device : device;
  return "learned by `consort bench --profile` from " + load.model
         + (on.empty() ? ", on a device that its server does not name," : " on " + on) + " at "
         + load.url;
}

std::string profile_text(const sim::rate_points& points, const std::string& about,
                         const std::string& model) {
  std::string made = "# " + about + "\n";
  if (!model.empty())
    made += "# model: " + model + "\n";
  made += "kind,size,us\n";
  const auto add = [&](const char* kind, const std::vector<sim::rate_point>& list) {
    for (const auto& one : list) {
      std::array<char, 64> line{};
      std::snprintf(line.data(), line.size(), "%s,%.0f,%.1f\n", kind, one.size, one.us);
      made += line.data();
    }
  };
  add("decode", points.decode);
  add("prefill", points.prefill);
  return made;
}

} // namespace consort::cli
