// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/logprobs.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace consort::llama {
namespace {

using nlohmann::json;

double log_total(std::span<const float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits)
    sum += std::exp(static_cast<double>(logit) - static_cast<double>(top));
  return static_cast<double>(top) + std::log(sum);
}

token_list likeliest(std::span<const float> logits, std::size_t count) {
  token_list order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  count = std::min(count, order.size());
  const auto at = [&](llama_token token) { return logits[static_cast<std::size_t>(token)]; };
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
      [&](llama_token a, llama_token b) { return at(a) != at(b) ? at(a) > at(b) : a < b; });
  order.resize(count);
  return order;
}

json chat_entry(const std::string& piece, double logprob) {
  json bytes = json::array();
  for (const char byte : piece)
    bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", piece}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

} // namespace

std::string describe_logprobs(const vocabulary& words, std::span<const float> logits,
                              llama_token picked, std::uint32_t top, bool chat,
                              std::size_t text_offset) {
  const double total = log_total(logits);
  const auto logprob = [&](llama_token token) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) - total;
  };
  json answer;
  if (chat) {
    json entry = chat_entry(words.piece(picked), logprob(picked));
    entry["top_logprobs"] = json::array();
    for (const llama_token token : likeliest(logits, top))
      entry["top_logprobs"].push_back(chat_entry(words.piece(token), logprob(token)));
    answer["content"] = json::array({std::move(entry)});
  } else {
    json others = json::object();
    for (const llama_token token : likeliest(logits, top))
      others[words.piece(token)] = logprob(token);
    answer["tokens"] = {words.piece(picked)};
    answer["token_logprobs"] = {logprob(picked)};
    answer["top_logprobs"] = json::array({std::move(others)});
    answer["text_offset"] = {text_offset};
  }
  // A token may hold part of a character: replaced, since JSON carries characters only.
  return json{{"logprobs", std::move(answer)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace consort::llama
