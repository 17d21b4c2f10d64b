// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Holds a runtime to the tokens that a request asked for: what a choice gets beyond them is not
/// passed on, the choice ends with `length`, and once all its choices have ended the attempt has
/// completed and whoever still generates is told to stop. Stands before the attempt's own sink, and
/// is called as that one would be.

#include "messages/attempt_service.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace consort::node {

/// How many tokens each choice of a body may still get, and how many choices it asks for. 0 tokens:
/// it does not say, is no completion, or wants its prompt as well (`echo`).
struct asked_tokens {
  std::uint32_t most = 0;
  std::uint32_t choices = 1;
};
[[nodiscard]] asked_tokens asked_tokens_of(const attempt_body& body);

/// A runtime that tells ids is counted by them, and the text of the piece in which the limit falls
/// stays whole: nobody knows which part of it belongs to which id. Of others each piece of text
/// counts as one token.
class token_limit final : public attempt_sink {
public:
  /// `stop` ends the runtime's work on the attempt. Requires: asked.most > 0.
  token_limit(asked_tokens asked, std::shared_ptr<attempt_sink> to, std::function<void()> stop);

  void on_event(attempt_event happened) override;

private:
  struct choice_state {
    std::uint32_t ids = 0, pieces = 0;
    bool done = false;
    [[nodiscard]] std::uint32_t tokens() const { return ids > 0 ? ids : pieces; }
  };

  void take(attempt_tokens said);
  void end_choice(attempt_choice_done said);
  void complete_cut();

  const asked_tokens asked_;
  const std::shared_ptr<attempt_sink> to_;
  const std::function<void()> stop_;
  std::vector<choice_state> choices_;
  token_usage usage_; ///< As far as it was said when it opened.
  bool cut_ = false;  ///< Some choice got no more than it may.
  bool over_ = false;
};

/// The sink to be given to a runtime: `to` behind a limit where one was asked for, else `to`.
[[nodiscard]] std::shared_ptr<attempt_sink> hold_to_limit(const asked_tokens& asked,
                                                          std::shared_ptr<attempt_sink> to,
                                                          std::function<void()> stop);

} // namespace consort::node
