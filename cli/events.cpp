// SPDX-License-Identifier: Apache-2.0
#include "cli/events.hpp"

#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>
#include <thread>
#include <utility>

namespace consort::cli {

namespace {

/// Only a request that finished was told by its device how many tokens it had.
std::string tokens_of(const json& record) {
  const auto tokens = count_at(record, "/usage/completion_tokens");
  const bool unknown = tokens.empty() || tokens == "0";
  return unknown && text_at(record, "/outcome") != "finished" ? "" : ", " + tokens + " tokens";
}

/// One line of an event: a note, or the record of a request that ended.
std::string line_of(const links::sse_event& event) {
  const auto data = json::parse(event.data, nullptr, false);
  if (!data.is_object())
    return printable(event.data);
  if (data.contains("text"))
    return printable(text_at(data, "/level") + " " + text_at(data, "/subject") + ": "
                     + text_at(data, "/text"));
  if (!data.contains("outcome"))
    return printable(event.data);
  const auto device = text_at(data, "/device");
  const auto code = text_at(data, "/code");
  const auto attempts = data.value("attempts", json(1));
  const bool moved = attempts.is_number_unsigned() && attempts > 1; // It failed over.
  return printable("request " + text_at(data, "/external_id") + " " + text_at(data, "/outcome")
                   + (device.empty() ? "" : " on " + device) + " after "
                   + duration_at(data, "/total_us") + tokens_of(data)
                   + (moved ? ", " + attempts.dump() + " attempts" : "")
                   + (code.empty() ? "" : " (" + code + ")"));
}

/// One stream, to its end or the reader's. Returns: the answer, whole when it was no stream.
result<transport::http_answer> stream_once(context& env, bool only_next) {
  auto client = connect_client(env);
  if (!client)
    return client.failure();
  const auto show = [&](const links::sse_event& event) {
    env.out << (env.json() ? event.data : line_of(event)) << std::endl;
    return !only_next && env.out.good();
  };
  return client->stream({"GET", "/api/v1/events", "", {}}, show, limits::stream_gap_timeout);
}

exit_code exit_of(context& env, const result<transport::http_answer>& answer) {
  if (!answer)
    return complain(env, answer.failure());
  return answer->status == 200 ? exit_code::done
                               : complain(env, refusal(answer->status, answer->body));
}

/// Whether a server that was there may have gone for a while only.
bool may_return(const result<transport::http_answer>& answer) {
  if (answer)
    return answer->status == 200 || answer->status == 503;
  return answer.failure().action == recovery::retry_later;
}

} // namespace

exit_code show_next_event(context& env) {
  const interrupt_ends_well scope;
  return exit_of(env, stream_once(env, true));
}

exit_code follow_events(context& env, std::chrono::milliseconds pause) {
  const interrupt_ends_well scope;
  bool seen = false;
  bool told = false;
  for (;;) {
    const auto answer = stream_once(env, false);
    const bool streamed = answer && answer->status == 200;
    seen = seen || streamed || (!answer && answer.failure().code != "unreachable");
    if (!env.out.good() || !seen || !may_return(answer))
      return exit_of(env, answer);
    told = told && !streamed;
    if (!std::exchange(told, true))
      env.err << "consort: the events have ended; waiting for the server to come back" << std::endl;
    std::this_thread::sleep_for(pause);
  }
}

void add_events(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("events", "What happens in the cluster, as it happens");
  auto forever = std::make_shared<bool>(false);
  command->add_flag("-f,--follow", *forever, "Until interrupted; without it, the next event only");
  command->callback([&env, forever] {
    env.action = [&env, forever] {
      return *forever ? follow_events(env, limits::watch_interval) : show_next_event(env);
    };
  });
}

} // namespace consort::cli
