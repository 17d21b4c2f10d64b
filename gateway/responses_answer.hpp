// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Answers of POST /v1/responses, made from the chat answers that the gateway writes anyway
/// (https://platform.openai.com/docs/api-reference/responses-streaming). Pure: bytes in, bytes out.

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace consort::gateway {

/// One answer. Either whole(), or feed() with the pieces of a chat's stream.
class responses_answer {
public:
  /// `echo`: chat_question::echo.
  explicit responses_answer(nlohmann::ordered_json echo) : echo_(std::move(echo)) {}

  /// The response object of a whole chat answer, one line.
  [[nodiscard]] std::string whole(std::string_view chat_answer);

  /// What a client gets for a piece of a chat's stream. The piece holds whole events, as the
  /// gateway sends them.
  [[nodiscard]] std::string feed(std::string_view chat_events);

private:
  using tree = nlohmann::ordered_json;

  void take_event(std::string_view event);
  void take_failure(const tree& failure);
  void begin(const tree& chat);
  void take_choice(const tree& said);
  void finish();

  // Items of the output: at most one is open.
  void open(std::string_view kind, tree item, tree part = nullptr);
  void close();
  void text(std::string_view kind, const tree& piece);
  void call(const tree& piece, std::size_t at);
  [[nodiscard]] bool is_open(std::string_view kind) const { return open_ && kind_ == kind; }
  [[nodiscard]] tree& item() { return output_.back(); }

  void emit(std::string_view type, tree members);
  [[nodiscard]] tree response(std::string_view status) const;
  [[nodiscard]] std::string_view status() const;

  tree echo_;
  std::string out_;
  std::string id_; ///< What the ids of the response and its items end in.
  tree created_at_, model_, usage_;
  tree output_ = tree::array();
  std::string reason_;   ///< Why the model stopped.
  bool streamed_ = true; ///< Events are of interest, not only what they add up to.
  bool begun_ = false, open_ = false;
  std::string_view kind_; ///< Of the open item.
  tree call_index_;       ///< Of the open call.
  std::uint64_t sequence_ = 0;
};

} // namespace consort::gateway
