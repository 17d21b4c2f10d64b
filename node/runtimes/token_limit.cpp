// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/token_limit.hpp"

#include "messages/limits.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace consort::node {

asked_tokens asked_tokens_of(const attempt_body& body) {
  asked_tokens asked;
  if (body.kind != request_kind::completion && body.kind != request_kind::chat)
    return asked;
  const auto json = read_server_json(body.json);
  if (!json.is_object())
    return asked;
  // Several prompts in one body are answered as that many times the choices.
  const auto prompt = json.find("prompt");
  const bool several = prompt != json.end() && prompt->is_array() && !prompt->empty()
                       && !prompt->front().is_number();
  const auto all = std::uint64_t{std::max(whole_at(json, "n"), 1U)}
                   * (several ? prompt->size() : std::size_t{1});
  asked.choices
      = static_cast<std::uint32_t>(std::min<std::uint64_t>(all, messages::limits::choices_max));
  // The prompt that it answers with as well is none of the tokens, and not told apart from them.
  if (const auto echo = json.find("echo"); echo != json.end() && *echo == true)
    return asked;
  asked.most = whole_at(json, json.contains("max_completion_tokens") ? "max_completion_tokens"
                                                                     : "max_tokens");
  // What an earlier attempt emitted is a part of it.
  const auto gone
      = std::max(static_cast<std::uint32_t>(body.resume.token_ids.size()), body.resume.tokens);
  if (asked.most > 0)
    asked.most = asked.most > gone ? asked.most - gone : 1;
  return asked;
}

token_limit::token_limit(asked_tokens asked, std::shared_ptr<attempt_sink> to,
                         std::function<void()> stop)
    : asked_(asked), to_(std::move(to)), stop_(std::move(stop)), choices_(asked.choices) {}

void token_limit::on_event(attempt_event happened) {
  if (over_) // The end of what was stopped.
    return;
  if (auto* tokens = std::get_if<attempt_tokens>(&happened))
    return take(std::move(*tokens));
  if (auto* choice = std::get_if<attempt_choice_done>(&happened))
    return end_choice(std::move(*choice));
  if (const auto* opened = std::get_if<attempt_opened>(&happened)) {
    usage_.prompt_tokens = opened->prompt_tokens;
    usage_.cached_tokens = opened->cached_tokens;
  } else if (auto* completed = std::get_if<attempt_completed>(&happened)) {
    over_ = true;
    completed->usage.completion_tokens = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        completed->usage.completion_tokens, std::uint64_t{asked_.most} * asked_.choices));
  } else {
    over_ = true;
  }
  to_->on_event(std::move(happened));
}

void token_limit::take(attempt_tokens said) {
  if (said.choice >= choices_.size()) // None of those asked for: whoever checks choices judges it.
    return to_->on_event(std::move(said));
  auto& at = choices_[said.choice];
  if (at.done)
    return;
  const auto before = at.tokens();
  const auto left = asked_.most - std::min(before, asked_.most);
  const bool counts_ids = at.ids > 0 || !said.token_ids.empty();
  const auto more = static_cast<std::uint32_t>(counts_ids ? said.token_ids.size()
                                                          : (said.text.empty() ? 0 : 1));
  if (more > left) {
    const auto choice = said.choice;
    said.token_ids.resize(std::min<std::size_t>(said.token_ids.size(), left));
    (counts_ids ? at.ids : at.pieces) = asked_.most;
    cut_ = true;
    if (left > 0)
      to_->on_event(std::move(said));
    return end_choice({choice, "length"});
  }
  (counts_ids ? at.ids : at.pieces) += more;
  to_->on_event(std::move(said));
}

void token_limit::end_choice(attempt_choice_done said) {
  if (said.choice < choices_.size() && std::exchange(choices_[said.choice].done, true))
    return;
  to_->on_event(std::move(said));
  // Whatever else it says is not waited for.
  if (cut_ && std::all_of(choices_.begin(), choices_.end(), [](const auto& at) { return at.done; }))
    complete_cut();
}

void token_limit::complete_cut() {
  over_ = true;
  attempt_completed made;
  made.usage = usage_;
  for (const auto& at : choices_)
    made.usage.completion_tokens += at.tokens();
  stop_();
  to_->on_event(std::move(made));
}

std::shared_ptr<attempt_sink> hold_to_limit(const asked_tokens& asked,
                                            std::shared_ptr<attempt_sink> to,
                                            std::function<void()> stop) {
  if (asked.most == 0)
    return to;
  return std::make_shared<token_limit>(asked, std::move(to), std::move(stop));
}

} // namespace consort::node
