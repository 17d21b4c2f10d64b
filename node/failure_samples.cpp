// SPDX-License-Identifier: Apache-2.0
#include "node/failure_samples.hpp"

#include "node/failure_rules.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace consort::node {

namespace {

using json = nlohmann::json;

/// As plugin.json calls them, in the order of start_failure and failure_class.
constexpr std::array runtime_classes{"rebuild", "elsewhere", "refuse", "later"};
constexpr std::array build_classes{"deterministic", "resource", "transient"};

struct sample {
  std::string line;
  child_exit end;
};

error wrong(const std::string& what) {
  return {recovery::refuse, "plugin_failures", what};
}

result<sample> read_sample(const std::string& section, const json& value) {
  sample one;
  one.end.code = 1;
  if (value.is_string()) {
    one.line = value.get<std::string>();
    return one;
  }
  const auto line = value.is_object() ? value.value("line", json("")) : json();
  const auto exit = value.is_object() ? value.value("exit", json(1)) : json();
  if (!line.is_string() || !exit.is_number_integer())
    return wrong(section + ": expected lists of what was printed, or of {\"line\", \"exit\"}");
  one.line = line.get<std::string>();
  one.end.code = exit.get<int>();
  return one;
}

/// `given_up`: in words, where a pattern was.
template <class Rule>
const Rule* judge(const std::vector<Rule>& rules, const sample& one, std::string& given_up) {
  failure_rules<Rule> heard(rules);
  std::string_view rest = one.line;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    if (auto words = heard.hear(rest.substr(0, end)); !words.empty())
      given_up = std::move(words);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return heard.fits(&one.end);
}

/// All samples of one section against one list of rules. Returns: how many there are.
template <class Rule, std::size_t count>
result<std::size_t> check(const std::string& section, const json& wanted,
                          const std::array<const char*, count>& classes,
                          const std::vector<Rule>& rules) {
  std::size_t judged = 0;
  for (const auto& [name, samples] : wanted.items()) {
    if (std::find(classes.begin(), classes.end(), name) == classes.end() || !samples.is_array())
      return wrong(section + "/" + name + ": expected a list under one of `failures`' classes");
    for (const auto& value : samples) {
      const auto one = read_sample(section + "/" + name, value);
      if (!one)
        return one.failure();
      std::string given_up;
      const auto* rule = judge(rules, *one, given_up);
      if (!given_up.empty())
        return wrong(section + ": " + given_up);
      const std::string said
          = rule == nullptr ? "no rule fits" : classes.at(static_cast<std::size_t>(rule->means));
      if (said != name)
        return wrong(section + ": " + value.dump(-1, ' ', false, json::error_handler_t::replace)
                     + ": " + said + ", expected " + name);
      ++judged;
    }
  }
  return judged;
}

} // namespace

result<std::size_t> check_failure_samples(const plugin_document& document,
                                          const std::string& text) {
  const auto root = json::parse(text, nullptr, false);
  if (!root.is_object())
    return wrong("expected a JSON object of `runtime` and `build`");
  std::size_t judged = 0;
  for (const auto& [section, wanted] : root.items()) {
    const bool runtime = section == "runtime";
    if ((!runtime && section != "build") || !wanted.is_object())
      return wrong(section + ": expected `runtime` or `build`, and an object of classes");
    std::size_t most = 0; // Of its builds, which are shown the same.
    if (runtime) {
      const auto seen = check(section, wanted, runtime_classes, document.runtime.server.failures);
      if (!seen)
        return seen.failure();
      most = *seen;
    }
    for (const auto& build : document.builds) {
      if (runtime || build.failures.empty())
        continue;
      const auto seen = check(section, wanted, build_classes, build.failures);
      if (!seen)
        return error{seen.failure().action, seen.failure().code,
                     build.profile.name + ": " + seen.failure().message};
      most = *seen;
    }
    if (most == 0)
      return wrong(section + ": nothing was judged: no samples, or plugin.json has no `failures`");
    judged += most;
  }
  return judged;
}

} // namespace consort::node
