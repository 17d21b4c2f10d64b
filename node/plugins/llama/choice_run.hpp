// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One choice of one request while it is generated: picks tokens, turns them into text, and knows
/// when it ends. Independent of the batch it runs in. Single-threaded.

#include "node/plugins/llama/request.hpp"
#include "node/plugins/llama/text_stream.hpp"

#include <string>

namespace consort::llama {

class choice_run {
public:
  /// What one token came to. `finish` is null while the choice goes on.
  struct outcome {
    std::string text;
    bool counted = false; ///< A token of the answer, not its end mark.
    const char* finish = nullptr;
  };

  /// Borrows `words`. `tokens_max` counts tokens of earlier attempts too. Requires: tokens_max >=
  /// 0.
  choice_run(const generation_request& wanted, std::uint32_t choice, std::uint32_t tokens_max,
             const vocabulary& words, std::span<const llama_token> prompt);

  [[nodiscard]] llama_token pick(std::span<const float> logits) { return sampler_.pick(logits); }
  /// Takes a token as the next of this choice. Requires: !ended().
  outcome accept(llama_token token);
  /// Counts tokens of an earlier attempt whose text is not replayed (resumed by text).
  void skip(std::span<const llama_token> tokens);
  /// Ends at once when there is nothing left to generate. Returns: whether it ended.
  bool end_if_full();

  [[nodiscard]] bool ended() const { return finish_ != nullptr; }
  [[nodiscard]] const char* finish() const { return finish_; }
  [[nodiscard]] std::uint32_t tokens() const { return tokens_; }
  [[nodiscard]] std::size_t text_bytes() const { return text_bytes_; }

private:
  const vocabulary* words_;
  sampler sampler_;
  text_stream text_;
  std::uint32_t tokens_max_;
  bool ignore_end_;
  std::uint32_t tokens_ = 0;
  std::size_t text_bytes_ = 0; ///< Of all pieces so far, held back or not.
  const char* finish_ = nullptr;
};

} // namespace consort::llama
