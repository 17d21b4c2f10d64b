// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_tools.hpp"

#include "node/placeholders.hpp"

#include <glob.h>

#include <algorithm>

namespace consort::node {

namespace {

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of(" \r\n");
  if (end == std::string::npos)
    return {};
  const auto before = text.find_last_of('\n', end);
  const auto start = before == std::string::npos ? 0 : before + 1;
  return text.substr(start, std::min<std::size_t>(end - start + 1, 200));
}

} // namespace

bool matches_any(const std::string& path) {
  glob_t found{};
  const bool any = ::glob(path.c_str(), 0, nullptr, &found) == 0;
  ::globfree(&found);
  return any;
}

result<child_spec> tool_of(const std::vector<std::string>& command, const tool_place& place,
                           duration_us timeout_us) {
  child_spec spec;
  for (const auto& argument : command)
    spec.argv.push_back(
        replace_placeholders(argument, {{"plugin", place.folder}, {"state", place.state}}));
  const auto program = find_program(spec.argv.front(), place);
  if (program.empty())
    return error{recovery::retry_later, "tool_missing", missing_program(spec.argv.front(), place)};
  spec.argv.front() = program;
  extend_path(spec, place.search);
  spec.work_path = place.folder;
  spec.timeout_us = timeout_us;
  spec.grace_us = limits::probe_grace_us;
  return spec;
}

result<child_exit> run_tool(const std::vector<std::string>& command, const tool_place& place,
                            duration_us timeout_us) {
  const auto spec = tool_of(command, place, timeout_us);
  return spec ? run_child(*spec) : result<child_exit>(spec.failure());
}

std::string end_of(const child_exit& end, duration_us limit_us, const std::string& field) {
  const auto said = last_line(end.err.tail.empty() ? end.out.tail : end.err.tail);
  return with_last_words(describe_exit(end, limit_us, field), said);
}

std::string target_attribute(const build_rule& rule) {
  const auto& target = rule.profile.target;
  return target.size() > 2 && target.front() == '{' && target.back() == '}'
             ? target.substr(1, target.size() - 2)
             : std::string();
}

} // namespace consort::node
