// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/sampler.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace consort::llama {
namespace {

/// splitmix64: a full-period mix, so neighbouring seeds and positions give unrelated draws.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31U);
}

} // namespace

llama_token greatest(std::span<const float> logits) {
  assert(!logits.empty());
  return static_cast<llama_token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

sampler::sampler(const sampling_options& options, std::uint64_t seed,
                 std::span<const llama_token> prompt)
    : options_(options),
      seed_(seed),
      adjusts_(!options.logit_bias.empty() || options.repeat_penalty != 1.0F
               || options.presence_penalty != 0.0F || options.frequency_penalty != 0.0F) {
  if (options_.repeat_penalty != 1.0F)
    for (const llama_token token : prompt)
      seen_[token] = true;
}

llama_token sampler::pick(std::span<const float> logits) {
  if (adjusts_) {
    adjusted_.assign(logits.begin(), logits.end());
    adjust(adjusted_);
    logits = adjusted_;
  }
  return options_.temperature <= 0.0F ? greatest(logits) : draw(logits);
}

void sampler::accept(llama_token token) {
  ++accepted_;
  if (!adjusts_)
    return;
  ++output_[token];
  if (options_.repeat_penalty != 1.0F)
    seen_[token] = true;
}

void sampler::adjust(std::span<float> logits) const {
  for (const auto& [token, unused] : seen_) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
  }
  for (const auto& [token, count] : output_)
    logits[static_cast<std::size_t>(token)]
        -= options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  for (const auto& [token, bias] : options_.logit_bias)
    logits[static_cast<std::size_t>(token)] += bias;
}

llama_token sampler::draw(std::span<const float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i)
    candidates_.push_back(
        {std::exp((logits[i] - top) / options_.temperature), static_cast<llama_token>(i)});
  keep_top_k();
  keep_top_p();
  // The likeliest candidate has weight 1, so min_p compares with the weights as they are.
  if (options_.min_p > 0.0F)
    std::erase_if(candidates_, [&](const candidate& c) { return c.weight < options_.min_p; });
  double total = 0;
  for (const candidate& c : candidates_)
    total += static_cast<double>(c.weight);
  double left = uniform() * total;
  for (const candidate& c : candidates_) {
    left -= static_cast<double>(c.weight);
    if (left < 0)
      return c.token;
  }
  // Rounding can leave a crumb after the last one.
  return std::max_element(candidates_.begin(), candidates_.end(),
                          [](auto& a, auto& b) { return a.weight < b.weight; })
      ->token;
}

void sampler::keep_top_k() {
  if (options_.top_k == 0 || options_.top_k >= candidates_.size())
    return;
  std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                   [](const candidate& a, const candidate& b) {
                     return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
                   });
  candidates_.resize(options_.top_k);
}

void sampler::keep_top_p() {
  if (options_.top_p >= 1.0F)
    return;
  double total = 0;
  for (const candidate& c : candidates_)
    total += static_cast<double>(c.weight);
  const auto less = [](const candidate& a, const candidate& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.token > b.token;
  };
  // A heap yields the likeliest few without sorting a vocabulary of a hundred thousand.
  std::make_heap(candidates_.begin(), candidates_.end(), less);
  auto rest = candidates_.end();
  double kept = 0;
  do {
    std::pop_heap(candidates_.begin(), rest, less);
    --rest;
    kept += static_cast<double>(rest->weight);
  } while (rest != candidates_.begin() && kept < static_cast<double>(options_.top_p) * total);
  candidates_.erase(candidates_.begin(), rest);
}

double sampler::uniform() const {
  constexpr double scale = 1.0 / 9007199254740992.0; // 2^-53
  return static_cast<double>(mix(mix(seed_) ^ accepted_) >> 11U) * scale;
}

} // namespace consort::llama
