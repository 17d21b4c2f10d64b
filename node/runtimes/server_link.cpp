// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_link.hpp"

#include "links/address.hpp"
#include "links/channel.hpp"
#include "messages/server_status.hpp"
#include "node/host/limits.hpp"
#include "node/placeholders.hpp"
#include "node/runtimes/key_mask.hpp"
#include "node/runtimes/linked_session.hpp"
#include "node/runtimes/server_errors.hpp"
#include "scheduler/token_prices.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <ctime>

namespace consort::node {

namespace asio = boost::asio;
using links::as_values;
using links::task;
using std::chrono::microseconds;
using std::chrono::steady_clock;

namespace {

const attempt_aborted cancelled_attempt{
    {recovery::refuse, "cancelled", "the attempt was cancelled"}, false};

constexpr std::uint64_t all_taken = 1U << 20U; ///< Sequences; above any endpoint's.
constexpr std::uint64_t bytes_per_token = 4;   ///< Roughly, where the server will count.
constexpr std::uint64_t answer_tokens = 256;   ///< Of an answer whose length nobody bounds.

/// What a request may come to, for a provider that counts tokens.
std::uint64_t tokens_of(const attempt_body& body) {
  if (body.kind == request_kind::embedding) // Nothing is generated.
    return body.json.size() / bytes_per_token + 1;
  const auto asked = read_server_json(body.json);
  std::uint64_t answer = 0;
  if (asked.is_object())
    for (const auto* name : {"max_tokens", "max_completion_tokens"})
      answer = std::max<std::uint64_t>(answer, whole_at(asked, name));
  return (body.json.size() + body.resume.text.size()) / bytes_per_token
         + (answer > 0 ? answer : answer_tokens);
}

/// A variable's value; empty when it is not set.
std::string variable(const std::string& name) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

} // namespace

server_link::server_link(asio::io_context& io, std::shared_ptr<const server_spec> spec,
                         std::shared_ptr<container_keeper> containers, session_request wanted,
                         opened_handler opened, died_handler died)
    : io_(io),
      strand_(asio::make_strand(io)),
      spec_(std::move(spec)),
      containers_(std::move(containers)),
      engine_(io, strand_),
      engine_log_(wanted.device.id.value),
      wanted_(std::move(wanted)),
      slots_(slots_for(wanted_, spec_->sequences)),
      place_(wanted_.place),
      opened_(std::move(opened)),
      died_(std::move(died)),
      pause_(strand_),
      failures_(spec_->failures),
      gate_(spec_->rates),
      log_(wanted_.device.id.value) {
  capabilities_ = spec_->capabilities;
  const bool divided = tells("{slots}");
  stats_.capacity.sequences
      = {divided ? slots_.count : spec_->sequences, figure_source::declared, 0};
  if (divided && slots_.context_tokens > 0)
    stats_.capacity.kv_tokens = {slots_.context_tokens, figure_source::declared, 0};
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
                 process_ ? "its own server" : links::format_address({at_.host, at_.port}),
                 server_message(std::string_view(model_)));
  if (!spec_->prices.empty() && price_of(spec_->prices, model_) == nullptr)
    spdlog::warn("{}: nobody says what {} costs there, so the dearest known price is believed; put "
                 "it under remotes.{}.models of the configuration",
                 wanted_.device.id.value, server_message(std::string_view(model_)), spec_->plugin);
  conclude_open(std::shared_ptr<runtime_session>(
      std::make_shared<linked_session<server_link>>(shared_from_this())));
  if (!spec_->metrics.path.empty())
    asio::co_spawn(
        strand_, [self = shared_from_this()] { return self->measure(); }, asio::detached);
  if (!process_)
    co_await watch();
}

task<result<done>> server_link::prepare() {
  if (!wanted_.adapters.empty() && !spec_->capabilities.adapters)
    co_return error{recovery::refuse, "no_adapters",
                    wanted_.device.id.value + ": " + spec_->plugin + " loads no LoRA adapters"};
  for (const auto& one : wanted_.adapters)
    adapters_.emplace(one.name.value, name_of(one));
  auto begun = find_server();
  if (begun && spec_->container)
    begun = co_await fetch_image();
  if (phase_ == phase::ended)
    co_return begun;
  if (begun && !spec_->command.empty())
    begun = launch();
  if (!begun || !place_.leads()) // Whether a further rank is up is for its leader to see.
    co_return begun;
  auto waited = co_await wait_ready();
  if (!waited || phase_ == phase::ended)
    co_return waited;
  auto settled = co_await settle_name();
  if (settled && phase_ == phase::starting)
    co_await learn_context();
  co_return settled;
}

// --- the server ---

result<done> server_link::find_server() {
  if (spec_->command.empty()) {
    const auto named = variable(spec_->url_env);
    auto found = parse_server_url(named.empty() ? spec_->url : named);
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
  for (auto* stage : {&encode_, &prefill_}) {
    const bool encodes = stage == &encode_;
    const auto told = variable(encodes ? spec_->encode_url_env : spec_->prefill_url_env);
    const auto& url = !told.empty() ? told : encodes ? spec_->encode_url : spec_->prefill_url;
    if (url.empty())
      continue;
    auto found = parse_server_url(url);
    if (!found)
      return found.failure();
    *stage = *std::move(found);
    (*stage)->base = spec_->base;
    (encodes ? encoding_ : prefilling_)
        .place(links::format_address({(*stage)->host, (*stage)->port}));
  }
  return take_key();
}

result<done> server_link::take_key() {
  if (spec_->key_env.empty())
    return done{};
  at_.key = variable(spec_->key_env);
  if (at_.key.empty() && spec_->key_optional)
    return done{};
  if (at_.key.empty())
    return error{recovery::refuse, "key_missing",
                 spec_->plugin + ": the environment variable " + spec_->key_env + " is not set"};
  // It becomes a header of a request.
  if (std::any_of(at_.key.begin(), at_.key.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
    return error{recovery::refuse, "key_invalid",
                 spec_->plugin + ": " + spec_->key_env + " holds what no API key holds"};
  for (auto* stage : {&encode_, &prefill_})
    if (*stage)
      (*stage)->key = at_.key;
  return done{};
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
      {"weights", weights()},
      {"cache", wanted_.cache_path},
      {"partition", part == attributes.end() ? "" : part->second},
      {"model", wanted_.path},
      {"name", wanted_.model.value},
      {"port", std::to_string(at_.port)},
      {"uuid", wanted_.device.uuid},
      {"index", index == attributes.end() ? "0" : index->second},
      {"context", std::to_string(context)},
      {"memory_share", spec_->memory_share},
      {"sequences", std::to_string(spec_->sequences)},
      {"slots", std::to_string(slots_.count)},
      {"slots_context", std::to_string(slots_.context_tokens)}});
  return known;
}

/// The command of its server, and what it runs with.
result<child_spec> server_link::plan_server() {
  // Both may come from whoever declares models: they become words, never options.
  const auto sound
      = [](const std::string& path) { return path.starts_with('/') || is_plain_word(path); };
  if (!is_plain_word(wanted_.model.value) || !sound(wanted_.path)
      || (tells("{weights}") && !sound(weights())))
    return error{recovery::refuse, "bad_name",
                 "a model server is not started with the name `"
                     + server_message(std::string_view(wanted_.model.value))
                     + "`: only letters, digits and ._:/@+- are, and no - in front"};
  const auto known = values();
  child_spec child;
  for (const auto& argument : spec_->command)
    child.argv.push_back(replace_placeholders(argument, known));
  if (auto told = tell_adapters(child, known); !told)
    return told.failure();
  for (const auto& [name, text] : spec_->env)
    if (!wanted_.cache_path.empty() || text.find("{cache}") == std::string::npos)
      child.env[name] = replace_placeholders(text, known);
  if (const auto here = spec_->env_on.find(wanted_.device.plugin); here != spec_->env_on.end())
    for (const auto& [name, text] : here->second)
      child.env[name] = replace_placeholders(text, known);
  child.memory_bytes = spec_->memory_bytes;
  if (spec_->container)
    if (auto put = put_into_container(child, known); !put)
      return put.failure();
  const tool_place place{spec_->work_path, spec_->search};
  const auto program = find_program(child.argv.front(), place);
  if (program.empty())
    return error{recovery::retry_elsewhere, "tool_missing",
                 missing_program(child.argv.front(), place)};
  child.argv.front() = program;
  extend_path(child, place.search);
  child.work_path = spec_->work_path;
  child.timeout_us = 0;
  return child;
}

result<done> server_link::launch() {
  const auto child = plan_server();
  if (!child)
    return child.failure();
  const auto weak = weak_from_this();
  auto started = child_process::start(
      io_, *child,
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

/// Names and paths come from whoever declares models: they become words, never options.
result<done> server_link::tell_adapters(child_spec& child,
                                        std::map<std::string, std::string> known) const {
  if (wanted_.adapters.empty())
    return done{};
  known["adapters"] = std::to_string(wanted_.adapters.size());
  known["adapter_rank"] = std::to_string(rank_for(wanted_.adapters));
  for (const auto& argument : spec_->adapters.arguments)
    child.argv.push_back(replace_placeholders(argument, known));
  for (const auto& one : wanted_.adapters) {
    if (!is_plain_word(one.name.value) || !(one.path.starts_with('/') || is_plain_word(one.path)))
      return error{recovery::refuse, "bad_name",
                   "a model server is not started with the adapter `"
                       + server_message(std::string_view(one.name.value))
                       + "`: only letters, digits and ._:/@+- are, and no - in front"};
    known["adapter"] = one.name.value;
    known["adapter_path"] = one.path;
    for (const auto& argument : spec_->adapters.each)
      child.argv.push_back(replace_placeholders(argument, known));
  }
  return done{};
}

/// What the server calls one of them: as the plugin says where it was told of it, else as declared.
std::string server_link::name_of(const local_adapter& one) const {
  return spec_->command.empty()
             ? one.path
             : replace_placeholders(spec_->adapters.model,
                                    {{"adapter", one.name.value}, {"name", wanted_.model.value}});
}

/// What the body asks for: one of the adapters, else the model.
const std::string& server_link::asked_of(const attempt_body& body) const {
  if (adapters_.empty())
    return model_;
  const auto asked = read_server_json(body.json);
  const auto name = asked.is_object() ? asked.find("model") : asked.end();
  if (!asked.is_object() || name == asked.end() || !name->is_string())
    return model_;
  const auto found = adapters_.find(name->get_ref<const std::string&>());
  return found == adapters_.end() ? model_ : found->second;
}

void server_link::exited(const child_exit& end) {
  this->end(judged({recovery::retry_elsewhere, "runtime_died",
                    wanted_.device.id.value + ": its model server "
                        + with_last_words(describe_exit(end), log_.tail())},
                   &end));
}

void server_link::heard(const std::string& line) {
  log_.feed(without_key(line, at_.key) + "\n");
  if (const auto given_up = failures_.hear(line); !given_up.empty())
    spdlog::warn("{}: plugin {}: runtime/{}", wanted_.device.id.value, spec_->plugin, given_up);
}

/// The plugin's own word on it. What was served once is no artifact to be built anew.
error server_link::judged(error failure, const child_exit* end) const {
  const auto* rule = failures_.fits(end);
  if (rule == nullptr)
    return failure;
  constexpr std::array actions{recovery::retry_later, recovery::retry_elsewhere, recovery::refuse,
                               recovery::retry_later};
  failure.action = actions[static_cast<std::size_t>(rule->means)];
  if (rule->means == start_failure::rebuild && phase_ == phase::starting)
    failure.code = "artifact_unfit";
  return failure;
}

// --- whether it is there ---

task<bool> server_link::ready(const std::string& path) {
  asking_ = std::make_unique<server_http>(strand_, at_);
  const std::string nothing;
  const auto status = co_await asking_->ask(path, nothing, spec_->ready_timeout_us);
  const auto elsewhere
      = status ? redirect_words(*status, asking_->location(), spec_->plugin) : std::string();
  asking_.reset();
  unready_ = status ? std::nullopt : std::optional(status.failure());
  last_answer_ = answer_words(status, !spec_->command.empty()) + without_key(elsewhere, at_.key);
  co_return status&&* status == 200;
}

task<result<done>> server_link::wait_ready() {
  const auto until = steady_clock::now() + microseconds(spec_->start_timeout_us);
  int unreachable = 0; // In a row.
  while (phase_ == phase::starting) {
    const bool there = co_await ready(spec_->ready);
    if (there || phase_ != phase::starting)
      break;
    if (unready_ && unready_->code == "server_untrusted") // No wait changes that.
      co_return *unready_;
    // Nothing starts a server that is not ours: who waits is told, and the load is tried again.
    unreachable = unready_ && unready_->code == "server_unreachable" ? unreachable + 1 : 0;
    if (spec_->command.empty() && unreachable >= limits::server_watch_failures_max)
      co_return *unready_;
    if (steady_clock::now() >= until) {
      const auto last = log_.tail();
      co_return judged({recovery::retry_elsewhere, "runtime_start_timeout",
                        wanted_.device.id.value + ": its model server was not ready (GET "
                            + spec_->ready + ") within "
                            + std::to_string(spec_->start_timeout_us / limits::second_us) + " s"
                            + "; " + last_answer_ + (last.empty() ? "" : "; it said: " + last)},
                       nullptr);
    }
    pause_.expires_after(microseconds(spec_->ready_every_us));
    co_await pause_.async_wait(as_values);
  }
  co_return done{};
}

task<void> server_link::watch() {
  int failures = 0;
  const auto& path = spec_->alive.empty() ? spec_->ready : spec_->alive;
  while (phase_ == phase::open) {
    pause_.expires_after(microseconds(std::max(spec_->watch_us, spec_->ready_every_us)));
    co_await pause_.async_wait(as_values);
    if (phase_ != phase::open)
      co_return;
    const bool there = co_await ready(path);
    failures = there ? 0 : failures + 1;
    if (failures >= limits::server_watch_failures_max)
      end({recovery::retry_elsewhere, "runtime_died",
           wanted_.device.id.value + ": the model server at "
               + links::format_address({at_.host, at_.port}) + " does not answer GET " + path});
  }
}

/// Reads its gauges for as long as it serves. One that cannot be read leaves what is known.
task<void> server_link::measure() {
  asio::steady_timer rest(strand_);
  const std::string nothing;
  while (phase_ == phase::open) {
    measuring_ = std::make_unique<server_http>(strand_, at_);
    const auto status
        = co_await measuring_->ask(spec_->metrics.path, nothing, limits::server_answer_us);
    std::string text;
    if (status && *status == 200)
      text = co_await measuring_->read_text(limits::server_metrics_bytes_max + 1,
                                            limits::server_answer_us);
    measuring_.reset();
    auto read = read_gauges(spec_->metrics, text);
    if (!text.empty() && read) {
      const std::lock_guard lock(stats_mutex_);
      lacks_ = std::move(read->absent);
      gauges_ = read->gauges;
      gauged_at_ = links::steady_now_us();
      ours_then_ = stats_.sequences_running;
    }
    rest.expires_after(microseconds(spec_->metrics.every_us));
    co_await rest.async_wait(as_values);
  }
}

// --- attempts ---

void server_link::submit(const attempt_id& attempt, attempt_body body,
                         std::shared_ptr<attempt_sink> sink) {
  asio::post(strand_, [self = shared_from_this(), attempt, body = std::move(body),
                       sink = std::move(sink)]() mutable {
    const auto refuse
        = [&](const char* code, const char* why, recovery action = recovery::retry_elsewhere) {
            sink->on_event(attempt_aborted{{action, code, why}, false, {}, 0, 0});
          };
    if (self->phase_ != phase::open)
      return refuse("runtime_died", "its model server has ended");
    // More than it decodes together is its own to queue.
    if (self->attempts_.size() >= limits::attempts_per_session_max)
      return refuse("session_full", "the instance runs as many attempts as it may",
                    recovery::retry_later);
    if (self->attempts_.contains(attempt))
      return refuse("attempt_repeated", "the attempt is running already");
    const auto* price = price_of(self->spec_->prices, self->model_);
    const server_call how{*self->spec_,
                          self->at_,
                          self->prefill_ ? &*self->prefill_ : nullptr,
                          self->asked_of(body),
                          self->generated_,
                          self->encode_ ? &*self->encode_ : nullptr,
                          self->plain_,
                          price == nullptr
                              ? std::function<std::uint64_t(const token_usage&)>()
                              : [link = self.get(), price](
                                    const token_usage& used) { return link->bill(*price, used); },
                          [link = self.get()](const token_usage& said) { link->doubt(said); },
                          self->encoding_,
                          self->prefilling_,
                          self->wanted_.device.spec.prefill_tokens_per_s,
                          [link = self.get()] { link->note_stages(); }};
    auto running = std::make_shared<server_attempt>(
        self->strand_, how, std::move(sink),
        [link = self.get()](const server_word& word) { link->heed(word); });
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
  const auto tokens = tokens_of(body);
  const auto admitted_at = co_await admit(running, tokens);
  if (admitted_at) {
    co_await running->run(body);
    account(*running, *admitted_at, tokens);
  }
  if (const auto found = attempts_.find(attempt);
      found != attempts_.end() && found->second == running)
    attempts_.erase(found);
  const std::lock_guard lock(stats_mutex_);
  --stats_.sequences_running;
}

/// Waits for its turn where the server counts. Returns: when it was let through; nothing when it
/// was not, and then it has ended.
task<std::optional<time_us>> server_link::admit(const std::shared_ptr<server_attempt>& running,
                                                std::uint64_t tokens) {
  asio::steady_timer turn(strand_);
  const auto began = links::steady_now_us();
  while (!running->stopped()) {
    const auto now = links::steady_now_us();
    const auto wait = gate_.admit(now, tokens);
    const auto closed = gate_.closed_for(now);
    {
      const std::lock_guard lock(stats_mutex_);
      closed_until_ = closed > 0 ? now + closed : 0;
    }
    if (wait == 0)
      co_return now;
    if (now + wait > began + limits::server_hold_us) {
      running->stop(
          {{recovery::retry_later, "rate_limited",
            wanted_.device.id.value + ": the model server takes the next request in "
                + std::to_string((wait + limits::second_us - 1) / limits::second_us) + " s"},
           false,
           {},
           wait});
      break;
    }
    turn.expires_after(microseconds(wait));
    co_await turn.async_wait(as_values);
  }
  co_return std::nullopt;
}

/// What an answer's head says of the server's limits.
void server_link::heed(const server_word& word) {
  const auto now = links::steady_now_us();
  const auto now_s = static_cast<std::int64_t>(std::time(nullptr));
  gate_.heard(now, read_rate_headers(word.headers, now_s));
  const auto wait = read_retry_after(word.headers, now_s);
  const bool busy = word.status != 200
                    && judge_server_status(word.status, {}).failure.action == recovery::retry_later;
  // Who names no time is asked again when the scheduler thinks so; of a 429 it may be a limit's.
  if (word.status == 429 || (busy && wait))
    gate_.refused(now, wait);
  else if (word.status == 200)
    gate_.answered();
  const auto closed = gate_.closed_for(now);
  const std::lock_guard lock(stats_mutex_);
  closed_until_ = closed > 0 ? now + closed : 0;
}

/// What its stages have come to: a change is logged, the rest is told with its figures.
void server_link::note_stages() {
  for (auto* watch : {&encoding_, &prefilling_})
    if (const auto news = watch->take_news(); !news.empty())
      spdlog::log(watch->given_up() ? spdlog::level::warn : spdlog::level::info, "{}: {}",
                  wanted_.device.id.value, server_message(std::string_view(news)));
  const std::lock_guard lock(stats_mutex_);
  stats_.stages_missed_total = encoding_.missed_total() + prefilling_.missed_total();
  stats_.stage_missed = server_message(
      std::string_view(prefilling_.missed().empty() ? encoding_.missed() : prefilling_.missed()));
  stages_given_up_until_ = std::max(encoding_.told_until(), prefilling_.told_until());
}

/// What it came to, for the limits.
void server_link::account(const server_attempt& ended, time_us admitted_at, std::uint64_t tokens) {
  if (const auto& usage = ended.usage())
    gate_.settle(admitted_at, tokens, usage->prompt_tokens + usage->completion_tokens);
}

/// A server that tells nonsense does so each time.
void server_link::doubt(const token_usage& said) {
  if (!std::exchange(doubted_, true))
    spdlog::warn(
        "{}: its server tells a usage that cannot be true ({} tokens of prompt, {} of them "
        "cached, {} of answer): such counts are bounded by what was asked for and came, or "
        "estimated. Told once",
        wanted_.device.id.value, said.prompt_tokens, said.cached_tokens, said.completion_tokens);
}

/// What is less than a micro is on the next one's bill: all bills are what was paid in all.
std::uint64_t server_link::bill(const token_price& price, const token_usage& used) {
  constexpr std::uint64_t picos_per_micro = 1'000'000;
  const std::lock_guard lock(stats_mutex_);
  cost_rest_ += picos_of(price, used.prompt_tokens, used.cached_tokens, used.completion_tokens);
  const auto paid = cost_rest_ / picos_per_micro;
  stats_.cost_micros_total += paid;
  cost_rest_ %= picos_per_micro;
  return paid;
}

void server_link::cancel(const attempt_id& attempt) {
  asio::post(strand_, [self = shared_from_this(), attempt] {
    const auto found = self->attempts_.find(attempt);
    if (found == self->attempts_.end())
      return;
    self->attempts_.extract(found).mapped()->stop(cancelled_attempt);
    const std::lock_guard lock(self->stats_mutex_);
    ++self->stats_.cancelled_total;
  });
}

session_stats server_link::stats() const {
  constexpr int readings_max = 10; ///< Without a new one the last is forgotten.
  const auto now = links::steady_now_us();
  const std::lock_guard lock(stats_mutex_);
  auto out = stats_;
  out.tokens_generated_total = generated_;
  const auto age = now - gauged_at_;
  if (gauges_ && age <= readings_max * spec_->metrics.every_us)
    out.capacity = capacity_by(out.capacity, *gauges_, ours_then_, age);
  if (gauges_ && (gauges_->running || gauges_->waiting)) {
    out.engine_requests = gauges_->running.value_or(0) + gauges_->waiting.value_or(0);
    out.engine_told_us = gauged_at_;
  }
  out.engine_lacks = lacks_;
  out.stage_given_up = now < stages_given_up_until_;
  if (closed_until_ > now)
    out.capacity.foreign_sequences = {all_taken, figure_source::engine, 0};
  return out;
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
  for (const auto* one : {&asking_, &measuring_})
    if (*one)
      (*one)->cut();
  pause_.cancel();
  engine_.cut();
  process_.reset();
  if (!container_.empty())
    containers_->remove(std::exchange(container_, {}));
}

} // namespace consort::node
