// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model's tokenizer: text to tokens and back. Immutable after construction, so thread-safe.
/// Borrows the model, which must outlive it.

#include <llama.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace consort::llama {

using token_list = std::vector<llama_token>;

class vocabulary {
public:
  explicit vocabulary(const llama_model& model);

  /// Tokens of `text`, with the model's begin token where it wants one. With `parse_special`, text
  /// such as `<|im_end|>` becomes the control token it names.
  [[nodiscard]] token_list tokenize(std::string_view text, bool parse_special) const;
  /// Bytes of one token; not necessarily whole characters. Control tokens have none.
  [[nodiscard]] std::string piece(llama_token token) const;
  /// Bytes of many tokens, one after the other.
  [[nodiscard]] std::string text(std::span<const llama_token> tokens) const;
  /// Whether the model says that its answer ends here.
  [[nodiscard]] bool ends(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }
  [[nodiscard]] bool contains(std::int64_t token) const { return token >= 0 && token < size_; }
  [[nodiscard]] std::int32_t size() const { return size_; }
  /// No token stands for more bytes than this: text beyond tokens x bytes cannot fit.
  [[nodiscard]] std::size_t piece_bytes_max() const { return piece_bytes_max_; }

private:
  const llama_vocab* vocab_;
  std::int32_t size_;
  std::size_t piece_bytes_max_ = 1;
};

} // namespace consort::llama
