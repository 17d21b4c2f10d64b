// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/choice_run.hpp"

#include <cassert>

namespace consort::llama {

choice_run::choice_run(const generation_request& wanted, std::uint32_t choice,
                       std::uint32_t tokens_max, const vocabulary& words,
                       std::span<const llama_token> prompt)
    : words_(&words),
      sampler_(wanted.sampling, wanted.sampling.seed + choice, prompt),
      text_(wanted.stops),
      tokens_max_(tokens_max),
      ignore_end_(wanted.ignore_end) {}

choice_run::outcome choice_run::accept(llama_token token) {
  assert(!ended());
  if (!ignore_end_ && words_->ends(token)) {
    finish_ = "stop";
    return {text_.finish(), false, finish_};
  }
  sampler_.accept(token);
  ++tokens_;
  const std::string piece = words_->piece(token);
  text_bytes_ += piece.size();
  outcome happened{text_.push(piece), true, nullptr};
  if (text_.stopped()) {
    finish_ = "stop";
  } else if (tokens_ >= tokens_max_) {
    finish_ = "length";
    happened.text += text_.finish();
  }
  happened.finish = finish_;
  return happened;
}

void choice_run::skip(std::span<const llama_token> tokens) {
  for (const llama_token token : tokens)
    sampler_.accept(token);
  tokens_ += static_cast<std::uint32_t>(tokens.size());
}

bool choice_run::end_if_full() {
  if (!ended() && tokens_ >= tokens_max_)
    finish_ = "length";
  return ended();
}

} // namespace consort::llama
