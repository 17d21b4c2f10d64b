// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/container.hpp"

#include "links/channel.hpp"
#include "node/file_digest.hpp"

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <sstream>
#include <thread>

namespace consort::node {

namespace asio = boost::asio;
using links::as_values;

namespace {

constexpr const char* owner_label = "consort.owner";
constexpr std::size_t owner_digits = 16;
/// Of one call. The engine goes on with it when nobody waits any more; a node that stops does not.
constexpr duration_us remove_us_max = 2 * limits::second_us;
constexpr int gone_looks = 2; ///< In a row that find none: then all are gone.
constexpr auto look_every = std::chrono::milliseconds(200);

/// One call that is waited for; short, but for an engine that hangs.
result<child_exit> call(const std::string& engine, const std::string& folder,
                        std::vector<std::string> words,
                        duration_us timeout_us = limits::container_call_us_max) {
  child_spec spec;
  spec.argv = {find_program(engine, folder)};
  if (spec.argv.front().empty())
    return error{recovery::retry_later, "tool_missing", "no program " + engine + " in PATH"};
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  spec.timeout_us = timeout_us;
  spec.grace_us = limits::probe_grace_us;
  spec.leaves_daemons = true;
  return run_child(spec);
}

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool says(const child_exit& answer, std::initializer_list<const char*> words) {
  const auto text = in_lower_case(answer.err.text + answer.out.text);
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return text.find(word) != std::string::npos; });
}

std::string words_of(const child_exit& answer) {
  auto text = answer.err.tail.empty() ? answer.out.tail : answer.err.tail;
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.pop_back();
  return with_last_words(describe_exit(answer, limits::container_call_us_max, ""), text);
}

std::vector<std::string> with(std::vector<std::string> words,
                              const std::vector<std::string>& names) {
  words.insert(words.end(), names.begin(), names.end());
  return words;
}

} // namespace

std::string container_owner(const node_id& name, const std::string& data_path) {
  return hash_text(name.value + '\n' + data_path).value.substr(0, owner_digits);
}

result<std::size_t> remove_orphans(const std::string& engine, const std::string& folder,
                                   const std::string& owner) {
  const auto listed = call(
      engine, folder,
      {"ps", "--all", "--quiet", "--filter", std::string("label=") + owner_label + "=" + owner});
  if (!listed)
    return listed.failure();
  if (!listed->ok())
    return error{recovery::retry_later, "container_engine", engine + " ps " + words_of(*listed)};
  std::vector<std::string> ids;
  std::istringstream lines(listed->out.text);
  for (std::string id; lines >> id && ids.size() < limits::containers_max;)
    ids.push_back(id);
  if (ids.empty())
    return std::size_t{0};
  const auto removed = call(engine, folder, with({"rm", "--force"}, ids));
  if (!removed)
    return removed.failure();
  if (!removed->ok())
    return error{recovery::retry_later, "container_engine", engine + " rm " + words_of(*removed)};
  return ids.size();
}

result<done> remove_until_gone(const std::string& engine, const std::string& folder,
                               const std::string& owner, duration_us patience_us) {
  if (find_program(engine, folder).empty())
    return done{}; // It left nothing here.
  const auto until = links::steady_now_us() + patience_us;
  for (int looks = 0;;) {
    const auto removed = remove_orphans(engine, folder, owner);
    looks = removed && *removed == 0 ? looks + 1 : 0;
    if (looks == gone_looks)
      return done{};
    if (links::steady_now_us() >= until)
      return error{recovery::retry_later, "container_left",
                   "containers may be left ("
                       + (removed ? "they keep coming" : removed.failure().message) + "): " + engine
                       + " rm --force $(" + engine + " ps -aq --filter label=" + owner_label + "="
                       + owner + ") removes them"};
    std::this_thread::sleep_for(look_every);
  }
}

std::string trial_owner() {
  return "trial" + std::to_string(::getpid());
}

result<std::vector<std::string>> run_command(const container_rule& rule,
                                             const std::vector<std::string>& arguments,
                                             const container_order& wanted) {
  const auto port = std::to_string(wanted.port);
  std::vector<std::string> words{"run",
                                 "--rm",
                                 "--pull=never",
                                 "--name",
                                 wanted.name,
                                 "--label",
                                 std::string(owner_label) + "=" + rule.owner,
                                 "--label",
                                 "consort.plugin=" + wanted.plugin,
                                 "--label",
                                 "consort.instance=" + std::to_string(wanted.instance.value)};
  const auto add = [&](const char* option, std::string value) {
    words.emplace_back(option);
    words.push_back(std::move(value));
  };
  rule.publish ? add("--publish", "127.0.0.1:" + port + ":" + port) : add("--network", "host");
  if (wanted.memory_bytes > 0)
    add("--memory", std::to_string(wanted.memory_bytes));
  for (const auto& name : wanted.settings)
    add("--env", name); // Its value is in the engine's own environment, not in a list of processes.
  auto paths = wanted.mounts;
  if (!wanted.written.empty())
    paths.push_back(wanted.written);
  for (const auto& path : paths) {
    if (path.find_first_of(",\"\n") != std::string::npos)
      return error{recovery::refuse, "container_path",
                   "no container can be given " + path + ": a comma or quote is in its path"};
    add("--mount", "type=bind,source=" + path + ",target=" + path
                       + (path == wanted.written ? "" : ",readonly"));
  }
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.push_back(rule.image);
  words.insert(words.end(), wanted.command.begin(), wanted.command.end());
  return words;
}

image_state judge_image(const child_exit& answer) {
  if (answer.ok())
    return image_state::there;
  return says(answer, {"no such image", "no such object", "image not known"})
             ? image_state::missing
             : image_state::unknown;
}

// --- that they go ---

container_keeper::container_keeper(container_rule rule, std::string folder)
    : rule_(std::move(rule)), folder_(std::move(folder)), removers_(limits::container_removers) {}

container_keeper::~container_keeper() {
  finish();
}

std::string container_keeper::keep(instance_id instance) {
  const std::lock_guard lock(mutex_);
  auto name = "consort-" + rule_.owner + "-" + std::to_string(instance.value) + "-"
              + std::to_string(++named_);
  if (!finished_)
    kept_.insert(name);
  return name;
}

bool container_keeper::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return kept_.erase(name) > 0;
}

void container_keeper::remove(const std::string& name) {
  asio::post(removers_, [this, name] {
    if (!forget(name))
      return;
    if (!remove_now({name}))
      spdlog::warn("{}: container {} may be left; the next start of this node removes it",
                   rule_.engine, name);
  });
}

void container_keeper::finish() {
  std::vector<std::string> left;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    left.assign(kept_.begin(), kept_.end());
    kept_.clear();
  }
  if (!left.empty() && !remove_now(left))
    spdlog::warn("{}: {} containers may be left; the next start of this node removes them",
                 rule_.engine, left.size());
  removers_.join();
}

bool container_keeper::remove_now(const std::vector<std::string>& names) const {
  // A server may want to put something away. One that is gone already is no fault.
  static_cast<void>(call(rule_.engine, folder_, with({"stop", "-t", "1"}, names), remove_us_max));
  for (int tries = 0; tries < limits::container_remove_tries; ++tries) {
    const auto done = call(rule_.engine, folder_, with({"rm", "--force"}, names), remove_us_max);
    if (done && (done->ok() || says(*done, {"no such container", "no container with name"})))
      return true;
    if (finished_)
      break; // Who stops has no time.
  }
  return false;
}

// --- a call that is waited for ---

awaited_tool::awaited_tool(asio::io_context& io, asio::any_io_executor strand)
    : io_(io), strand_(std::move(strand)) {}

links::task<result<child_exit>> awaited_tool::run(const child_spec& spec,
                                                  const std::function<void(std::string)>& line) {
  const auto state = waiting_ = std::make_shared<waiting>(strand_);
  state->line = line;
  state->end.expires_at(std::chrono::steady_clock::time_point::max());
  auto started = child_process::start(
      io_, spec,
      [state, strand = strand_](std::string_view text, bool) {
        asio::post(strand, [state, said = std::string(text)] {
          if (state->line) // Whoever listens is still there.
            state->line(said);
        });
      },
      [state, strand = strand_](child_exit how) {
        asio::post(strand, [state, how = std::move(how)]() mutable {
          state->how = std::move(how);
          state->end.cancel();
        });
      });
  if (!started)
    co_return started.failure();
  process_ = *std::move(started);
  co_await state->end.async_wait(as_values);
  state->line = nullptr;
  process_.reset();
  if (!state->how)
    co_return error{recovery::retry_later, "cancelled", "it was given up"};
  co_return *std::move(state->how);
}

void awaited_tool::cut() {
  process_.reset();
  if (waiting_)
    waiting_->end.cancel();
}

} // namespace consort::node
