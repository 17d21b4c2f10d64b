// SPDX-License-Identifier: Apache-2.0
// What a server link does where the server runs in a container: sees that the image is there, and
// makes the command line.
#include "node/placeholders.hpp"
#include "node/runtimes/server_link.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace consort::node {

namespace {

/// Whether any of the texts holds a placeholder.
bool any_has(const std::vector<std::string>& texts, const char* placeholder) {
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
    return text.find(placeholder) != std::string::npos;
  });
}

error engine_error(const char* code, const std::string& what) {
  return {recovery::retry_elsewhere, code, what};
}

/// How a call of the engine ended, with the last that it said.
std::string end_words(const child_exit& end, duration_us limit_us, const char* field,
                      const std::string& said) {
  return with_last_words(describe_exit(end, limit_us, field), said);
}

} // namespace

/// What a coroutine passes on is named first: temporaries of a co_await are not safe with GCC.
links::task<result<child_exit>> server_link::ask_engine(const std::vector<std::string>& words,
                                                        duration_us timeout_us) {
  const auto& engine = spec_->container->engine;
  child_spec child;
  child.argv = {find_program(engine, spec_->work_path)};
  if (child.argv.front().empty())
    co_return engine_error("tool_missing",
                           "no program " + engine + " in " + spec_->work_path + " or in PATH");
  child.argv.insert(child.argv.end(), words.begin(), words.end());
  child.work_path = spec_->work_path;
  child.timeout_us = timeout_us;
  child.leaves_daemons = true;
  auto told_at = links::steady_now_us();
  const std::function<void(std::string)> line = [&](const std::string& said) {
    engine_log_.feed(said + "\n");
    if (links::steady_now_us() - told_at < limits::container_pull_news_us)
      return;
    told_at = links::steady_now_us();
    spdlog::info("{}: {} {} goes on: {}", wanted_.device.id.value, words.front(),
                 spec_->container->image, engine_log_.tail());
  };
  auto answer = co_await engine_.run(child, line);
  co_return answer;
}

/// Returns once the image is there.
links::task<result<done>> server_link::fetch_image() {
  const auto& rule = *spec_->container;
  const auto& here = wanted_.device.id.value;
  const std::vector<std::string> look{"image", "inspect", "--format", "{{.Id}}", rule.image};
  const auto looked = co_await ask_engine(look, limits::container_call_us_max);
  if (!looked)
    co_return looked.failure();
  const auto state = judge_image(*looked);
  if (state == image_state::there)
    co_return done{};
  if (state == image_state::unknown)
    co_return engine_error(
        "container_engine",
        here + ": " + rule.engine + " image inspect " + rule.image + " "
            + end_words(*looked, limits::container_call_us_max, "", engine_log_.tail()));
  if (!rule.pull)
    co_return engine_error("image_missing", here + ": " + rule.engine + " has no image "
                                                + rule.image + ", and is not to fetch any");
  spdlog::info("{}: {} fetches the image {}", here, rule.engine, rule.image);
  const std::vector<std::string> fetch{"pull", rule.image};
  const auto fetched = co_await ask_engine(fetch, rule.pull_us_max);
  if (!fetched)
    co_return fetched.failure();
  if (!fetched->ok())
    co_return engine_error("image_pull_failed",
                           here + ": " + rule.engine + " pull " + rule.image + " "
                               + end_words(*fetched, rule.pull_us_max,
                                           "runtime.container.pull_timeout", engine_log_.tail()));
  co_return done{};
}

/// Turns a command of the host into one of the engine that runs it inside.
result<done> server_link::put_into_container(child_spec& child,
                                             const std::map<std::string, std::string>& known) {
  const auto& rule = *spec_->container;
  container_order wanted;
  wanted.name = containers_->keep(wanted_.instance);
  wanted.instance = wanted_.instance;
  wanted.plugin = spec_->plugin;
  wanted.port = at_.port;
  wanted.memory_bytes = std::exchange(child.memory_bytes, 0); // Of what is inside.
  wanted.command = std::move(child.argv);
  for (const auto& [name, value] : child.env)
    wanted.settings.push_back(name);
  auto texts = spec_->command;
  for (const auto& [name, text] : spec_->env)
    texts.push_back(text);
  const auto mount = [&](const std::string& path) {
    auto& all = wanted.mounts;
    if (path.starts_with('/') && std::find(all.begin(), all.end(), path) == all.end())
      all.push_back(path);
  };
  mount(wanted_.path);
  if (any_has(texts, "{weights}"))
    mount(weights());
  if (any_has(texts, "{plugin}"))
    mount(spec_->work_path);
  for (const auto& one : wanted_.adapters)
    mount(one.path);
  wanted.written = wanted_.cache_path;
  std::vector<std::string> arguments;
  for (const auto& argument : rule.arguments)
    arguments.push_back(replace_placeholders(argument, known));
  container_ = wanted.name;
  auto words = run_command(rule, arguments, wanted);
  if (!words)
    return words.failure();
  child.argv = {rule.engine};
  child.leaves_daemons = true; // The container, whose removal is the keeper's.
  child.argv.insert(child.argv.end(), words->begin(), words->end());
  return done{};
}

} // namespace consort::node
