// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One encoded message of every kind, and decoding by kind. For tests that treat all messages
/// alike: golden bytes, truncation, fuzzing.

#include "tests/support/samples.hpp"

namespace consort::samples {

struct catalog_entry {
  std::string name;          ///< Unique; a file name without its ending.
  messages::frame_kind kind; ///< Of its frame, and what recode() takes.
  messages::encoded bytes;   ///< An error only if the samples break a limit.
};

namespace detail {

/// One entry for each alternative of a variant, named after it.
template <class Variant, class Names, class Encode>
void add_all(std::vector<catalog_entry>& all, std::string_view prefix, messages::frame_kind kind,
             const Names& names, Encode encode) {
  const auto values = each_alternative<Variant>();
  for (std::size_t at = 0; at < values.size(); ++at)
    all.push_back({std::string(prefix) + names[at], kind, encode(values[at])});
}

} // namespace detail

/// Every message with every field filled, in a stable order.
inline std::vector<catalog_entry> catalog() {
  using messages::frame_kind;
  const auto from = sample_envelope();
  const auto control = [&](const auto& body) { return messages::encode(from, body); };
  const auto bare = [](const auto& body) { return messages::encode(body); };
  std::vector<catalog_entry> all;
  filler fill;
  messages::query_answer explained{.number = 3, .snapshot = {}, .explanation = {}};
  fill.fill(explained.explanation);
  messages::hello_answer welcome = fill.make<messages::hello_answer>();
  welcome.refusal.reset();
  all.push_back({"hello", frame_kind::hello, control(fill.make<messages::hello>())});
  all.push_back({"hello_answer_welcome", frame_kind::hello_answer, control(welcome)});
  all.push_back({"hello_answer_refused", frame_kind::hello_answer,
                 control(fill.make<messages::hello_answer>())});
  all.push_back({"heartbeat", frame_kind::heartbeat, control(fill.make<messages::heartbeat>())});
  all.push_back({"query", frame_kind::query, control(fill.make<messages::query>())});
  all.push_back({"query_answer_snapshot", frame_kind::query_answer,
                 control(fill.make<messages::query_answer>())});
  all.push_back({"query_answer_explanation", frame_kind::query_answer, control(explained)});
  messages::query_answer reloaded{.number = 4, .snapshot = {}, .explanation = {}};
  filler(7).fill(reloaded.reloads);
  all.push_back({"query_answer_reloads", frame_kind::query_answer, control(reloaded)});
  messages::query_answer listed{.number = 5, .snapshot = {}, .explanation = {}};
  filler(11).fill(listed.plugins);
  all.push_back({"query_answer_plugins", frame_kind::query_answer, control(listed)});
  all.push_back({"query_answer_unknown", frame_kind::query_answer,
                 control(messages::query_answer{.number = 9, .snapshot = {}, .explanation = {}})});
  detail::add_all<core::event>(all, "event_", frame_kind::event, event_names, control);
  detail::add_all<core::command>(all, "command_", frame_kind::command, command_names, control);
  all.push_back(
      {"attempt_open", frame_kind::attempt_open, bare(fill.make<messages::attempt_open>())});
  detail::add_all<attempt_event>(all, "attempt_event_", frame_kind::attempt_event,
                                 attempt_event_names, bare);
  detail::add_all<messages::host_command>(all, "host_command_", frame_kind::host_command,
                                          host_command_names, bare);
  detail::add_all<messages::host_report>(all, "host_report_", frame_kind::host_report,
                                         host_report_names, bare);
  return all;
}

namespace detail {

/// With its envelope where it has one.
template <class Decoded>
messages::encoded encode_again(const result<Decoded>& message) {
  if (!message)
    return message.failure();
  if constexpr (requires { message->from.sender; })
    return messages::encode(message->from, message->body);
  else
    return messages::encode(*message);
}

} // namespace detail

/// Decodes as `kind` and encodes what came out. Returns: the bytes, or why either failed; `bug` for
/// a kind that no decoder is for.
inline messages::encoded recode(messages::frame_kind kind, std::span<const char> bytes) {
  using messages::frame_kind;
  switch (kind) {
  case frame_kind::hello: return detail::encode_again(messages::decode_hello(bytes));
  case frame_kind::hello_answer: return detail::encode_again(messages::decode_hello_answer(bytes));
  case frame_kind::event: return detail::encode_again(messages::decode_event(bytes));
  case frame_kind::command: return detail::encode_again(messages::decode_command(bytes));
  case frame_kind::query: return detail::encode_again(messages::decode_query(bytes));
  case frame_kind::query_answer: return detail::encode_again(messages::decode_query_answer(bytes));
  case frame_kind::heartbeat: return detail::encode_again(messages::decode_heartbeat(bytes));
  case frame_kind::attempt_open: return detail::encode_again(messages::decode_attempt_open(bytes));
  case frame_kind::attempt_event:
    return detail::encode_again(messages::decode_attempt_event(bytes));
  case frame_kind::host_command: return detail::encode_again(messages::decode_host_command(bytes));
  case frame_kind::host_report: return detail::encode_again(messages::decode_host_report(bytes));
  }
  return error{recovery::bug, "no_such_kind", "the catalog knows no such kind of message"};
}

} // namespace consort::samples
