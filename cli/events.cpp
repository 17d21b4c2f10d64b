// SPDX-License-Identifier: Apache-2.0
#include "cli/events.hpp"

#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"

#include <CLI/App.hpp>

#include <array>
#include <ctime>
#include <memory>
#include <optional>
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

/// When it happened, as this host's clock shows it: `2026-11-28 20:13:56 `; empty if unknown.
std::string time_of(const json& data) {
  const auto at = data.value("unix_ms", json());
  if (!at.is_number_integer())
    return {};
  const std::time_t seconds = at.get<std::int64_t>() / 1'000;
  std::tm parts{};
  std::array<char, 32> text{};
  if (localtime_r(&seconds, &parts) == nullptr
      || std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S ", &parts) == 0)
    return {};
  return text.data();
}

/// The record of a request that ended.
std::string line_of_request(const json& data) {
  const auto device = text_at(data, "/device");
  const auto code = text_at(data, "/code");
  const auto attempts = data.value("attempts", json(1));
  const bool moved = attempts.is_number_unsigned() && attempts > 1; // It failed over.
  return "request " + text_at(data, "/external_id") + " " + text_at(data, "/outcome")
         + (device.empty() ? "" : " on " + device) + " after " + duration_at(data, "/total_us")
         + tokens_of(data) + (moved ? ", " + attempts.dump() + " attempts" : "")
         + (code.empty() ? "" : " (" + code + ")");
}

/// One line of an event: a note, or the record of a request that ended.
std::string line_of(const std::string& event, const json& data) {
  if (data.contains("text"))
    return printable(time_of(data) + text_at(data, "/level") + " " + text_at(data, "/subject")
                     + ": " + text_at(data, "/text"));
  return printable(data.contains("outcome") ? time_of(data) + line_of_request(data) : event);
}

/// What to ask of the server.
struct wanted_events {
  std::size_t last = 0;
  bool follow = false;
  std::string after; ///< The id of the last one shown; a stream keeps it up to date.
};

/// One stream, to its end or the reader's. Returns: the answer, whole when it was no stream.
result<transport::http_answer> stream_once(context& env, wanted_events& wanted) {
  auto client = connect_client(env);
  if (!client)
    return client.failure();
  const auto show = [&](const links::sse_event& event) {
    const auto parsed = json::parse(event.data, nullptr, false);
    const auto data = parsed.is_object() ? parsed : json::object();
    if (const auto id = text_at(data, "/id"); !id.empty())
      wanted.after = id;
    env.out << (env.json() ? event.data : line_of(event.data, data)) << std::endl;
    return env.out.good();
  };
  const auto target = "/api/v1/events?last=" + std::to_string(wanted.last)
                      + "&follow=" + (wanted.follow ? "true" : "false");
  http_headers headers;
  if (!wanted.after.empty())
    headers["Last-Event-ID"] = wanted.after;
  return client->stream({"GET", target, "", headers}, show, limits::stream_gap_timeout);
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

exit_code show_events(context& env, std::size_t last) {
  const interrupt_ends_well scope;
  wanted_events wanted{last, false, {}};
  return exit_of(env, stream_once(env, wanted));
}

exit_code follow_events(context& env, std::size_t last, std::chrono::milliseconds pause) {
  const interrupt_ends_well scope;
  wanted_events wanted{last, true, {}};
  bool seen = false;
  bool told = false;
  for (;;) {
    const auto answer = stream_once(env, wanted);
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
  auto* command = root.add_subcommand("events", "What happened in the cluster, oldest first");
  struct flags {
    bool follow = false;
    std::optional<std::size_t> last;
  };
  auto given = std::make_shared<flags>();
  command->add_flag("-f,--follow", given->follow, "And what happens from now on");
  command
      ->add_option("-n,--last", given->last,
                   "Of the past at most so many; default 100, with --follow 10")
      ->check(CLI::Range(std::size_t{0}, limits::events_last_max));
  command->callback([&env, given] {
    env.action = [&env, given] {
      if (given->follow)
        return follow_events(env, given->last.value_or(limits::events_followed),
                             limits::watch_interval);
      return show_events(env, given->last.value_or(limits::events_shown));
    };
  });
}

} // namespace consort::cli
