// SPDX-License-Identifier: Apache-2.0
#include "cli/recorded_answers.hpp"

#include "node/failure_samples.hpp"
#include "node/small_file.hpp"

#include <algorithm>
#include <set>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

error unfit(const std::string& why) {
  return {recovery::refuse, "plugin_fixture", why};
}

/// Whether a row says something in a field of the query. Figures that cannot be read say nothing.
bool says(const node::answer_row& row, const std::string& name) {
  static const std::set<std::string, std::less<>> figures{"memory_bytes",  "memory_used_bytes",
                                                          "utilization",   "power_watts",
                                                          "energy_joules", "temperature_celsius"};
  return figures.contains(name) ? node::figure_of(row, name).has_value()
                                : node::says_something(node::text_of(row, name));
}

/// Places of the query where no row has anything. What only some devices have is not missed.
std::string unknown_places(const node::tool_query& query,
                           const std::vector<node::answer_row>& rows) {
  std::string made;
  const auto miss = [&](const std::string& name, const auto& known) {
    if (std::none_of(rows.begin(), rows.end(), known))
      made += (made.empty() ? "; unknown: " : ", ") + name;
  };
  if (rows.empty())
    return made;
  for (const auto& [name, source] : query.fields)
    if (name != "parent" && name != "model" && name != "health_reason")
      miss(name, [&name = name](const auto& row) { return says(row, name); });
  for (const auto& [name, source] : query.attributes)
    miss("attributes." + name, [&name = name](const auto& row) {
      const auto found = row.attributes.find(name);
      return found != row.attributes.end() && node::says_something(found->second);
    });
  return made;
}

/// Health in words that the plugin does not map. Some are left to be unhealthy as they are, so that
/// people read the tool's own word: it is told, and no fault.
std::string unmapped_health(const std::vector<node::answer_row>& rows) {
  static const std::set<std::string, std::less<>> known{"healthy", "degraded", "unhealthy"};
  std::set<std::string> words;
  for (const auto& row : rows)
    if (const auto word = node::text_of(row, "health");
        node::says_something(word) && !known.contains(word))
      words.insert(word);
  std::string made;
  for (const auto& word : words)
    made += (made.empty() ? "; unhealthy, since health.words has no " : ", ") + ("`" + word + "`");
  return made;
}

result<std::string> judge_answer(const node::plugin_document& document,
                                 const node::tool_query& query, const std::string& text) {
  std::string preface;
  const auto rows = node::split_answer(query, text, nullptr, &preface);
  if (!rows)
    return rows.failure();
  if (rows->empty())
    if (const auto why = node::unmatched_words(query, text); !why.empty())
      return unfit("it lists no device: " + why);
  if (&query == &document.probe)
    if (const auto who = node::without_model(*rows); !who.empty())
      return unfit(who);
  return std::to_string(rows->size()) + " devices" + unknown_places(query, *rows)
         + unmapped_health(*rows)
         + (preface.empty() ? "" : "; passed over in front of it: " + preface);
}

/// What its tools print when they fail.
result<std::string> judge_failures(const node::plugin_document& document, const std::string& text) {
  const auto judged = node::check_failure_samples(document, text);
  if (!judged)
    return judged.failure();
  return std::to_string(*judged) + " samples mean what `failures` says";
}

/// What a recorded answer is to be read with, by its name: `probe*`, `telemetry*`, and `also1*`,
/// `also2*` ... for the further questions of telemetry. Null: of no question.
const node::tool_query* query_for(const node::plugin_document& document, const std::string& name) {
  if (name.starts_with("probe"))
    return &document.probe;
  if (name.starts_with("telemetry"))
    return document.telemetry ? &*document.telemetry : nullptr;
  for (std::size_t at = 0; at < document.telemetry_also.size(); ++at)
    if (name.starts_with("also" + std::to_string(at + 1)))
      return &document.telemetry_also[at];
  return nullptr;
}

/// Of which there may be some beside the answers.
bool for_people(const std::string& name) {
  return name.starts_with(".") || name.starts_with("README") || name.starts_with("version");
}

/// `fixtures/x` is nobody's: what it could have been meant as.
error of_no_question(const node::plugin_document& document) {
  std::string names = "probe*";
  if (document.telemetry)
    names += ", telemetry*";
  for (std::size_t at = 0; at < document.telemetry_also.size(); ++at)
    names += ", also" + std::to_string(at + 1) + "*";
  return {recovery::refuse, "skipped",
          "no question of plugin.json has that name, so nothing reads it; names are " + names
              + ", failures.json"};
}

} // namespace

std::vector<fs::path> fixtures_in(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (const auto& one : fs::directory_iterator(folder / "fixtures", failed))
    files.push_back(one.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::optional<result<std::string>> judge_fixture(const node::plugin_document& document,
                                                 const fs::path& file) {
  const auto name = file.filename().string();
  const bool failures = name == "failures.json";
  const auto* query = query_for(document, name);
  if (!failures && query == nullptr)
    return for_people(name) ? std::nullopt
                            : std::optional<result<std::string>>(of_no_question(document));
  if (!failures && query->parse == node::answer_format::sysfs)
    return std::nullopt; // It is asked of folders, which are not recorded.
  const auto text = node::read_whole_file(file);
  if (!text)
    return unfit("cannot be read");
  return failures ? judge_failures(document, *text) : judge_answer(document, *query, *text);
}

} // namespace consort::cli
