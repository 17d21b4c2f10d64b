// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/calibrate.hpp"

#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/sampler.hpp"
#include "node/plugins/reference/limits.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace consort::reference {
namespace {

/// Positions compared at once: bounds the logits held of both models.
constexpr std::uint32_t chunk_tokens = 64;
constexpr std::uint32_t window_tokens_max = 512;

/// One model that scores a text chunk by chunk, each window from an empty context.
class scorer {
public:
  static result<std::unique_ptr<scorer>> open(const std::string& path, std::uint32_t threads) {
    auto model = llama::load_model(path);
    if (!model)
      return model.failure();
    llama_context_params params = llama_context_default_params();
    params.n_ctx = window_tokens_max;
    params.n_batch = params.n_ubatch = chunk_tokens;
    params.n_threads = params.n_threads_batch = static_cast<std::int32_t>(threads);
    llama::context_ptr context(llama_init_from_model(model->get(), params));
    if (!context)
      return error{recovery::retry_elsewhere, "no_memory",
                   "cannot calibrate: " + llama::last_engine_error("not enough memory")};
    return std::unique_ptr<scorer>(new scorer(std::move(*model), std::move(context)));
  }

  /// Scores tokens that follow position `at` of the current window; position 0 starts a new one.
  bool score(std::span<const llama_token> tokens, std::uint32_t at) {
    if (at == 0)
      llama_memory_clear(llama_get_memory(context_.get()), true);
    batch_.clear();
    for (std::size_t i = 0; i < tokens.size(); ++i)
      batch_.add(tokens[i], static_cast<llama_pos>(at + i), 0, true);
    return llama_decode(context_.get(), batch_.raw()) == 0;
  }
  std::span<const float> logits(std::size_t row) {
    return {llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(row)),
            static_cast<std::size_t>(words_.size())};
  }
  [[nodiscard]] const llama::vocabulary& words() const { return words_; }
  [[nodiscard]] std::uint32_t window() const {
    return std::min(static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model_.get()), 1)),
                    window_tokens_max);
  }

private:
  scorer(llama::model_ptr model, llama::context_ptr context)
      : model_(std::move(model)),
        context_(std::move(context)),
        words_(*model_),
        batch_(chunk_tokens) {}

  llama::model_ptr model_;
  llama::context_ptr context_;
  llama::vocabulary words_;
  llama::token_batch batch_;
};

double log_total(std::span<const float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  return static_cast<double>(top)
         + std::log(
             std::accumulate(logits.begin(), logits.end(), 0.0, [&](double sum, float logit) {
               return sum + std::exp(static_cast<double>(logit - top));
             }));
}

/// KL(p || q) of the two next-token distributions.
double divergence(std::span<const float> p, std::span<const float> q) {
  const double p_total = log_total(p);
  const double q_total = log_total(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double p_log = static_cast<double>(p[i]) - p_total;
    sum += std::exp(p_log) * (p_log - (static_cast<double>(q[i]) - q_total));
  }
  return std::max(sum, 0.0); // Rounding may leave a hair below nothing.
}

} // namespace

result<engine_quality> calibrate(const calibration_input& input) {
  auto source = scorer::open(input.source_path, input.threads);
  if (!source)
    return source.failure();
  auto quantised = scorer::open(input.quantised_path, input.threads);
  if (!quantised)
    return quantised.failure();
  llama::token_list tokens = (*source)->words().tokenize(input.text, false);
  if (tokens.size() < limits::calibration_tokens_min)
    return llama::bad_model("the calibration text has only " + std::to_string(tokens.size())
                            + " tokens; " + std::to_string(limits::calibration_tokens_min)
                            + " are needed");
  tokens.resize(std::min<std::size_t>(tokens.size(), limits::calibration_tokens_max));
  engine_quality quality;
  double kl_sum = 0;
  std::uint32_t agreed = 0;
  const std::uint32_t window = (*source)->window();
  for (std::size_t at = 0; at < tokens.size();) {
    const std::uint32_t position = static_cast<std::uint32_t>(at % window);
    const std::size_t count
        = std::min<std::size_t>({chunk_tokens, tokens.size() - at, window - position});
    const std::span<const llama_token> chunk(tokens.data() + at, count);
    if (!(*source)->score(chunk, position) || !(*quantised)->score(chunk, position))
      return error{recovery::retry_elsewhere, "engine_failed",
                   "cannot calibrate: " + llama::last_engine_error("the engine failed")};
    for (std::size_t row = 0; row < count; ++row) {
      const auto p = (*source)->logits(row);
      const auto q = (*quantised)->logits(row);
      kl_sum += divergence(p, q);
      agreed += llama::greatest(p) == llama::greatest(q) ? 1 : 0;
    }
    at += count;
    if (input.progress)
      input.progress(static_cast<double>(at) / static_cast<double>(tokens.size()));
  }
  quality.tokens = static_cast<std::uint32_t>(tokens.size());
  quality.kl_mean = kl_sum / quality.tokens;
  quality.top1 = static_cast<double>(agreed) / quality.tokens;
  return quality;
}

} // namespace consort::reference
