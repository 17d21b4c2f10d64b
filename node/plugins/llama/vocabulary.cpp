// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace consort::llama {

vocabulary::vocabulary(const llama_model& model)
    : vocab_(llama_model_get_vocab(&model)), size_(llama_vocab_n_tokens(vocab_)) {
  for (llama_token token = 0; token < size_; ++token)
    piece_bytes_max_ = std::max(piece_bytes_max_, std::strlen(llama_vocab_get_text(vocab_, token)));
}

token_list vocabulary::tokenize(std::string_view text, bool parse_special) const {
  const auto bytes = static_cast<std::int32_t>(text.size());
  token_list tokens(text.size()
                    + 2); // No tokenizer makes more tokens than bytes, plus begin and end.
  std::int32_t count
      = llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                       static_cast<std::int32_t>(tokens.size()), true, parse_special);
  if (count < 0) {
    tokens.resize(static_cast<std::size_t>(-count));
    count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(), -count, true, parse_special);
  }
  tokens.resize(static_cast<std::size_t>(std::max(count, 0)));
  return tokens;
}

std::string vocabulary::piece(llama_token token) const {
  std::array<char, 64> small{};
  std::int32_t bytes = llama_token_to_piece(vocab_, token, small.data(), small.size(), 0, false);
  if (bytes >= 0)
    return {small.data(), static_cast<std::size_t>(bytes)};
  std::string large(static_cast<std::size_t>(-bytes), '\0');
  bytes = llama_token_to_piece(vocab_, token, large.data(), -bytes, 0, false);
  large.resize(static_cast<std::size_t>(std::max(bytes, 0)));
  return large;
}

std::string vocabulary::text(std::span<const llama_token> tokens) const {
  std::string all;
  for (const llama_token token : tokens)
    all += piece(token);
  return all;
}

} // namespace consort::llama
