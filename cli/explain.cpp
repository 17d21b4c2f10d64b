// SPDX-License-Identifier: Apache-2.0
#include "cli/explain.hpp"

#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

std::string terms_of(const json& candidate) {
  std::string made;
  for (const auto& term : candidate.value("terms", json::array()))
    made
        += (made.empty() ? "" : " + ") + text_at(term, "/name") + " " + duration_at(term, "/value");
  return made;
}

std::string candidate_table(const json& decision, bool wide, bool colour) {
  table rows({{"CANDIDATE"},
              {"VERDICT"},
              {"SCORE", align::right},
              {"INSTANCE", align::right, true},
              {"WHY"}});
  const auto winner = text_at(decision, "/winner");
  for (const auto& candidate : decision.value("candidates", json::array())) {
    const auto device = text_at(candidate, "/device");
    const auto removed_by = text_at(candidate, "/removed_by");
    const auto reason = text_at(candidate, "/reason");
    const bool weighed = removed_by.empty() && !reason.starts_with("not weighed");
    const bool won = !winner.empty() && device == winner && weighed;
    // The losers' terms are noise until someone asks for them.
    const auto terms = won || wide ? terms_of(candidate) : std::string{};
    const auto why = reason.empty() ? terms : terms.empty() ? reason : reason + "; " + terms;
    rows.add({device,
              !removed_by.empty() ? "removed by " + removed_by
              : won               ? "winner"
              : weighed           ? "passed"
                                  : "not weighed",
              weighed ? duration_at(candidate, "/score") : "", count_at(candidate, "/instance"),
              why});
  }
  return rows.empty() ? std::string{} : rows.render(wide, colour);
}

std::string render_decision(const json& decision, std::size_t number, bool wide, bool colour) {
  auto made = "\nDecision " + std::to_string(number) + " at " + duration_at(decision, "/at") + " ("
              + text_at(decision, "/policy") + "): " + text_at(decision, "/outcome");
  if (const auto winner = text_at(decision, "/winner"); !winner.empty())
    made += " -> " + winner;
  if (const auto attempt = count_at(decision, "/attempt"); !attempt.empty() && attempt != "0")
    made += ", attempt " + attempt;
  made += "\n";
  if (const auto reason = text_at(decision, "/reason"); !reason.empty())
    made += "  " + printable(reason) + "\n";
  made += candidate_table(decision, wide, colour);
  const auto shown = decision.value("candidates", json::array()).size();
  const auto total = decision.value("candidates_total", shown);
  // The core keeps the best candidates only and counts the rest.
  if (total > shown)
    made += "  and " + std::to_string(total - shown) + " more candidates\n";
  return made;
}

exit_code explain(context& env, const std::string& request) {
  const auto answer = fetch(env, "/api/v1/explain/" + escaped(request));
  if (!answer) {
    auto failure = answer.failure();
    failure.message = "request " + printable(request) + ": " + failure.message;
    return complain(env, failure);
  }
  env.out << (env.json() ? answer->dump(2) + "\n"
                         : render_explanation(*answer, env.wide(), env.colour));
  return exit_code::done;
}

} // namespace

std::string render_explanation(const json& explanation, bool wide, bool colour) {
  const auto outcome = text_at(explanation, "/outcome");
  const auto state = text_at(explanation, "/request/state");
  const auto device = text_at(explanation, "/request/device");
  auto made = "Request " + printable(text_at(explanation, "/request/external_id")) + " for "
              + printable(text_at(explanation, "/request/model")) + ": "
              + (outcome.empty() ? state : outcome);
  if (!device.empty())
    made += " on " + device;
  made += ", " + count_at(explanation, "/request/attempts") + " attempt(s), age "
          + duration_at(explanation, "/request/age_us");
  if (explanation.contains("starts_in_us"))
    made += ", expected to start in " + duration_at(explanation, "/starts_in_us");
  made += "\n";
  std::size_t number = 0;
  for (const auto& decision : explanation.value("decisions", json::array()))
    made += render_decision(decision, ++number, wide, colour);
  return made;
}

void add_explain(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("explain", "Why a request runs where it does, or why it waits");
  auto request = std::make_shared<std::string>();
  command->add_option("REQUEST", *request, "The X-Request-Id of its answer")->required();
  command->callback(
      [&env, request] { env.action = [&env, request] { return explain(env, *request); }; });
}

} // namespace consort::cli
