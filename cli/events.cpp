// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

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
                   + duration_at(data, "/total_us") + ", "
                   + count_at(data, "/usage/completion_tokens") + " tokens"
                   + (moved ? ", " + attempts.dump() + " attempts" : "")
                   + (code.empty() ? "" : " (" + code + ")"));
}

exit_code follow(context& env, bool until_interrupted) {
  const interrupt_ends_well scope;
  auto client = connect_client(env);
  if (!client)
    return complain(env, client.failure());
  const auto show = [&](const links::sse_event& event) {
    env.out << (env.json() ? event.data : line_of(event)) << std::endl;
    return until_interrupted && env.out.good();
  };
  const auto answer
      = client->stream({"GET", "/api/v1/events", "", {}}, show, limits::stream_gap_timeout);
  if (!answer)
    return complain(env, answer.failure());
  return answer->status == 200 ? exit_code::done
                               : complain(env, refusal(answer->status, answer->body));
}

} // namespace

void add_events(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("events", "What happens in the cluster, as it happens");
  auto forever = std::make_shared<bool>(false);
  command->add_flag("-f,--follow", *forever, "Until interrupted; without it, the next event only");
  command->callback(
      [&env, forever] { env.action = [&env, forever] { return follow(env, *forever); }; });
}

} // namespace consort::cli
