// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_link.hpp"

#include "node/host/limits.hpp"
#include "node/placeholders.hpp"
#include "node/runtimes/linked_session.hpp"
#include "node/runtimes/server_errors.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

namespace consort::node {

namespace asio = boost::asio;
using links::as_values;
using links::task;
using std::chrono::microseconds;
using std::chrono::steady_clock;

namespace {

bool is_plain(const std::string& name) {
  return !name.empty() && name.front() != '-'
         && std::all_of(name.begin(), name.end(), [](unsigned char c) {
              return std::isalnum(c) != 0
                     || std::string_view("._:/@+-").find(static_cast<char>(c))
                            != std::string_view::npos;
            });
}

bool uses(const server_spec& spec, const char* placeholder) {
  const auto has
      = [&](const std::string& text) { return text.find(placeholder) != std::string::npos; };
  return std::any_of(spec.command.begin(), spec.command.end(), has)
         || std::any_of(spec.env.begin(), spec.env.end(),
                        [&](const auto& one) { return has(one.second); });
}

const attempt_aborted cancelled_attempt{
    {recovery::refuse, "cancelled", "the attempt was cancelled"}, false};

} // namespace

server_link::server_link(asio::io_context& io, std::shared_ptr<const server_spec> spec,
                         session_request wanted, opened_handler opened, died_handler died)
    : io_(io),
      spec_(std::move(spec)),
      wanted_(std::move(wanted)),
      place_(wanted_.place),
      opened_(std::move(opened)),
      died_(std::move(died)),
      strand_(asio::make_strand(io)),
      pause_(strand_),
      log_(wanted_.device.id.value) {
  stats_.capacity.sequences = {spec_->sequences, figure_source::declared, 0};
  for (const auto& rule : spec_->failures)
    patterns_.emplace_back(
        rule.match.empty() ? std::nullopt : std::optional<std::regex>(rule.match), false);
}

void server_link::start() {
  asio::co_spawn(
      strand_, [self = shared_from_this()] { return self->live(); }, asio::detached);
}

task<void> server_link::live() {
  const auto prepared = co_await prepare();
  if (phase_ == phase::ended) {
    conclude_open(cause_.value_or(
        error{recovery::retry_later, "unloaded", "it was unloaded while it was loading"}));
    co_return;
  }
  if (!prepared) {
    release(prepared.failure(), true);
    conclude_open(prepared.failure());
    co_return;
  }
  phase_ = phase::open;
  if (place_.leads())
    spdlog::info("{}: {} is served by {} as {}", wanted_.device.id.value, wanted_.model.value,
                 process_ ? "its own server" : spec_->url,
                 server_message(std::string_view(model_)));
  conclude_open(std::shared_ptr<runtime_session>(
      std::make_shared<linked_session<server_link>>(shared_from_this())));
  if (!process_)
    co_await watch();
}

task<result<done>> server_link::prepare() {
  auto begun = find_server();
  if (begun && !spec_->command.empty()) {
    begun = co_await unpack();
    if (begun && phase_ == phase::starting)
      begun = launch();
  }
  if (!begun || !place_.leads()) // Whether a further rank is up is for its leader to see.
    co_return begun;
  auto waited = co_await wait_ready();
  if (!waited || phase_ == phase::ended)
    co_return waited;
  co_return co_await settle_name();
}

// --- the server ---

result<done> server_link::find_server() {
  if (spec_->command.empty()) {
    auto found = parse_server_url(spec_->url);
    if (!found)
      return found.failure();
    at_ = *std::move(found);
  } else {
    const auto port = free_loopback_port(io_);
    if (!port)
      return port.failure();
    at_.host = "127.0.0.1";
    at_.port = *port;
    if (place_.master.empty()) { // Ranks on one node meet somewhere too.
      const auto meeting = free_loopback_port(io_);
      if (!meeting)
        return meeting.failure();
      place_.master = "127.0.0.1:" + std::to_string(*meeting);
    }
  }
  at_.base = spec_->base;
  if (spec_->key_env.empty())
    return done{};
  const char* key = std::getenv(spec_->key_env.c_str());
  if (key == nullptr || *key == '\0')
    return error{recovery::refuse, "key_missing",
                 spec_->plugin + ": the environment variable " + spec_->key_env + " is not set"};
  at_.key = key;
  // It becomes a header of a request.
  if (std::any_of(at_.key.begin(), at_.key.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
    return error{recovery::refuse, "key_invalid",
                 spec_->plugin + ": " + spec_->key_env + " holds what no API key holds"};
  return done{};
}

task<result<done>> server_link::unpack() {
  if (!uses(*spec_, "{artifact_folder}"))
    co_return done{};
  if (auto there = unpacked_folder(wanted_.path)) {
    folder_ = *std::move(there);
    co_return done{};
  }
  const auto begun = begin_unpack(wanted_.path);
  if (!begun)
    co_return begun.failure();
  auto started = child_process::start(
      io_, begun->tool, [](std::string_view, bool) {},
      [weak = weak_from_this()](child_exit end) {
        if (const auto self = weak.lock())
          asio::post(self->strand_, [self, end = std::move(end)] {
            self->unpacked_ = end;
            self->pause_.cancel();
          });
      });
  if (!started)
    co_return started.failure();
  unpacking_ = *std::move(started);
  pause_.expires_after(microseconds(limits::pack_us_max));
  while (!unpacked_ && phase_ == phase::starting)
    if (const auto [failed] = co_await pause_.async_wait(as_values); !failed)
      break; // Its time is up; the tool ends by itself then.
  unpacking_.reset();
  child_exit late; // Of a tool whose end nobody saw.
  late.timed_out = true;
  auto folder = end_unpack(wanted_.path, *begun, unpacked_.value_or(late));
  if (!folder)
    co_return folder.failure();
  folder_ = *std::move(folder);
  co_return done{};
}

std::map<std::string, std::string> server_link::values() const {
  const auto& attributes = wanted_.device.attributes;
  const auto index = attributes.find("index"), part = attributes.find("partition");
  const auto context
      = wanted_.context_tokens > 0 ? wanted_.context_tokens : wanted_.variant.context_tokens;
  auto known = rank_values(place_, wanted_.device);
  known.merge(std::map<std::string, std::string>{
      {"plugin", spec_->work_path},
      {"artifact", wanted_.path},
      {"artifact_folder", folder_},
      {"weights", wanted_.variant.source},
      {"partition", part == attributes.end() ? "" : part->second},
      {"model", wanted_.path},
      {"name", wanted_.model.value},
      {"port", std::to_string(at_.port)},
      {"uuid", wanted_.device.uuid},
      {"index", index == attributes.end() ? "0" : index->second},
      {"context", std::to_string(context)},
      {"sequences", std::to_string(spec_->sequences)}});
  return known;
}

result<done> server_link::launch() {
  // Both may come from whoever declares models: they become words, never options.
  const auto sound
      = [](const std::string& path) { return path.starts_with('/') || is_plain(path); };
  if (!is_plain(wanted_.model.value) || !sound(wanted_.path)
      || (uses(*spec_, "{weights}") && !sound(wanted_.variant.source)))
    return error{recovery::refuse, "bad_name",
                 "a model server is not started with the name `"
                     + server_message(std::string_view(wanted_.model.value))
                     + "`: only letters, digits and ._:/@+- are, and no - in front"};
  const auto known = values();
  child_spec child;
  for (const auto& argument : spec_->command)
    child.argv.push_back(replace_placeholders(argument, known));
  const auto program = find_program(child.argv.front(), spec_->work_path);
  if (program.empty())
    return error{recovery::retry_elsewhere, "tool_missing",
                 "no program " + child.argv.front() + " in " + spec_->work_path + " or in PATH"};
  child.argv.front() = program;
  for (const auto& [name, text] : spec_->env)
    child.env[name] = replace_placeholders(text, known);
  child.work_path = spec_->work_path;
  child.timeout_us = 0;
  child.memory_bytes = spec_->memory_bytes;
  const auto weak = weak_from_this();
  auto started = child_process::start(
      io_, child,
      [weak](std::string_view line, bool) {
        if (const auto self = weak.lock())
          asio::post(self->strand_, [self, text = std::string(line)] { self->heard(text); });
      },
      [weak](child_exit end) {
        if (const auto self = weak.lock())
          asio::post(self->strand_, [self, end = std::move(end)] { self->exited(end); });
      });
  if (!started)
    return started.failure();
  process_ = *std::move(started);
  return done{};
}

void server_link::exited(const child_exit& end) {
  const auto last = log_.tail();
  this->end(judged({recovery::retry_elsewhere, "runtime_died",
                    wanted_.device.id.value + ": its model server " + describe_exit(end)
                        + (last.empty() ? "" : ": " + last)},
                   &end));
}

void server_link::heard(const std::string& line) {
  log_.feed(line + "\n");
  // The library's matcher recurses per character: the line is cut before it sees it.
  const auto cut = line.substr(0, limits::pattern_line_bytes_max);
  for (auto& [pattern, seen] : patterns_)
    seen = seen || (pattern && std::regex_search(cut, *pattern));
}

/// The plugin's own word on it. What was served once is no artifact to be built anew.
error server_link::judged(error failure, const child_exit* end) const {
  for (std::size_t at = 0; at < spec_->failures.size(); ++at) {
    const auto& rule = spec_->failures[at];
    const bool exits
        = !rule.exit || (end != nullptr && end->signal == 0 && end->code == *rule.exit);
    const bool said = rule.match.empty() || patterns_[at].second;
    if (!exits || !said || (rule.match.empty() && end == nullptr))
      continue;
    constexpr std::array actions{recovery::retry_later, recovery::retry_elsewhere, recovery::refuse,
                                 recovery::retry_later};
    failure.action = actions[static_cast<std::size_t>(rule.means)];
    if (rule.means == start_failure::rebuild && phase_ == phase::starting)
      failure.code = "artifact_unfit";
    break;
  }
  return failure;
}

// --- whether it is there ---

task<bool> server_link::ready() {
  asking_ = std::make_unique<server_http>(strand_, at_);
  const std::string nothing;
  const auto status = co_await asking_->ask(spec_->ready, nothing, limits::server_answer_us);
  asking_.reset();
  co_return status&&* status == 200;
}

task<result<done>> server_link::wait_ready() {
  const auto until = steady_clock::now() + microseconds(spec_->start_timeout_us);
  while (phase_ == phase::starting) {
    const bool there = co_await ready();
    if (there || phase_ != phase::starting)
      break;
    if (steady_clock::now() >= until) {
      const auto last = log_.tail();
      co_return judged({recovery::retry_elsewhere, "runtime_start_timeout",
                        wanted_.device.id.value + ": its model server was not ready (GET "
                            + spec_->ready + ") within "
                            + std::to_string(spec_->start_timeout_us / limits::second_us) + " s"
                            + (last.empty() ? "" : "; it said: " + last)},
                       nullptr);
    }
    pause_.expires_after(microseconds(limits::server_look_us));
    co_await pause_.async_wait(as_values);
  }
  co_return done{};
}

/// What the server calls the model: as the plugin says, checked against its list when it has one.
task<result<done>> server_link::settle_name() {
  const auto known = values();
  model_ = spec_->model.empty() ? wanted_.model.value : replace_placeholders(spec_->model, known);
  asking_ = std::make_unique<server_http>(strand_, at_);
  const std::string path = asking_->api("/v1/models"), nothing;
  const auto status = co_await asking_->ask(path, nothing, limits::server_answer_us);
  std::string text;
  if (status && *status == 200)
    text = co_await asking_->read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
  asking_.reset();
  const auto body = read_server_json(text);
  if (!body.is_object() || !body.contains("data") || !body["data"].is_array())
    co_return done{};
  std::string listed, only;
  for (const auto& one : body["data"]) {
    if (!one.is_object() || !one.contains("id") || !one["id"].is_string())
      continue;
    const auto id = one["id"].get<std::string>();
    if (id == model_)
      co_return done{};
    only = id;
    listed += (listed.empty() ? "" : ", ") + id;
  }
  // A server of our own serves what it was given, whatever it calls it.
  const bool alone = body["data"].size() == 1 && !listed.empty();
  if (alone && process_ && spec_->model.empty()) {
    model_ = only;
    co_return done{};
  }
  listed = server_message(std::string_view(listed)); // Printable, and not too long.
  co_return error{recovery::retry_elsewhere, "server_model",
                  wanted_.device.id.value + ": the model server serves "
                      + (listed.empty() ? "nothing" : listed) + ", not " + model_};
}

task<void> server_link::watch() {
  int failures = 0;
  while (phase_ == phase::open) {
    pause_.expires_after(microseconds(limits::server_watch_us));
    co_await pause_.async_wait(as_values);
    if (phase_ != phase::open)
      co_return;
    const bool there = co_await ready();
    failures = there ? 0 : failures + 1;
    if (failures >= limits::server_watch_failures_max)
      end({recovery::retry_elsewhere, "runtime_died",
           wanted_.device.id.value + ": the model server at " + spec_->url + " does not answer GET "
               + spec_->ready});
  }
}

// --- attempts ---

void server_link::submit(const attempt_id& attempt, attempt_body body,
                         std::shared_ptr<attempt_sink> sink) {
  asio::post(strand_, [self = shared_from_this(), attempt, body = std::move(body),
                       sink = std::move(sink)]() mutable {
    const auto refuse = [&](const char* code, const char* why) {
      sink->on_event(attempt_aborted{{recovery::retry_elsewhere, code, why}, false});
    };
    if (self->phase_ != phase::open)
      return refuse("runtime_died", "its model server has ended");
    // More than it decodes together is its own to queue.
    if (self->attempts_.size() >= limits::attempts_per_session_max)
      return refuse("session_full", "the instance runs as many attempts as it may");
    if (self->attempts_.contains(attempt))
      return refuse("attempt_repeated", "the attempt is running already");
    auto running = std::make_shared<server_attempt>(self->strand_, self->at_, std::move(sink));
    self->attempts_.emplace(attempt, running);
    asio::co_spawn(
        self->strand_,
        [self, attempt, body = std::move(body), running] {
          return self->serve(attempt, body, running);
        },
        asio::detached);
  });
}

task<void> server_link::serve(attempt_id attempt, attempt_body body,
                              std::shared_ptr<server_attempt> running) {
  {
    const std::lock_guard lock(stats_mutex_);
    ++stats_.sequences_running;
  }
  co_await running->run(body, model_, spec_->silence_us);
  if (const auto found = attempts_.find(attempt);
      found != attempts_.end() && found->second == running)
    attempts_.erase(found);
  const std::lock_guard lock(stats_mutex_);
  --stats_.sequences_running;
  stats_.tokens_generated_total += running->tokens();
  stats_.cancelled_total += running->cancelled() ? 1 : 0;
}

void server_link::cancel(const attempt_id& attempt) {
  asio::post(strand_, [self = shared_from_this(), attempt] {
    if (const auto found = self->attempts_.find(attempt); found != self->attempts_.end())
      self->attempts_.extract(found).mapped()->stop(cancelled_attempt);
  });
}

session_stats server_link::stats() const {
  const std::lock_guard lock(stats_mutex_);
  return stats_;
}

// --- the end ---

void server_link::conclude_open(result<std::shared_ptr<runtime_session>> outcome) {
  if (const auto opened = std::exchange(opened_, nullptr))
    opened(std::move(outcome));
}

void server_link::close() {
  asio::post(strand_, [self = shared_from_this()] {
    self->died_ = nullptr;
    self->release({recovery::retry_elsewhere, "session_closed", "its instance was unloaded"},
                  false);
  });
}

void server_link::give_up() {
  asio::post(strand_, [self = shared_from_this()] {
    if (self->phase_ == phase::starting)
      self->close();
  });
}

void server_link::end(const error& why) {
  if (phase_ == phase::ended)
    return;
  const bool was_open = phase_ == phase::open;
  cause_ = why;
  release(why, true);
  if (const auto died = std::exchange(died_, nullptr); died && was_open)
    died(why);
}

/// Ends whatever goes on; the coroutines see it and leave.
void server_link::release(const error& why, bool device_fault) {
  phase_ = phase::ended;
  const auto ending = attempts_; // Each leaves the map as it ends.
  for (const auto& [id, running] : ending)
    running->stop(attempt_aborted{why, device_fault});
  if (asking_)
    asking_->cut();
  pause_.cancel();
  unpacking_.reset();
  process_.reset();
}

} // namespace consort::node
