// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_trial.hpp"

#include "cli/config.hpp"
#include "cli/exit_code.hpp"
#include "cli/plugin_hosts.hpp"
#include "cli/prebuilt.hpp"
#include "links/channel.hpp"
#include "node/file_digest.hpp"
#include "node/model_files.hpp"
#include "node/plugin_environment.hpp"
#include "node/runtimes/container.hpp"
#include "node/small_file.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <set>
#include <unistd.h>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::size_t threads = 2;
constexpr auto grace = std::chrono::seconds(10);      ///< Beyond what the plugin itself allows.
constexpr auto answer_time = std::chrono::minutes(5); ///< One short answer.
constexpr auto end_time = std::chrono::seconds(10);   ///< After a cancel or a kill.
constexpr duration_us removal_us_max = 30'000'000;    ///< Of containers, on a busy host.
constexpr int readings_awaited = 2;                   ///< Of a server's gauges: one may just miss.
constexpr duration_us gauge_grace_us = 1'000'000;     ///< For the reading itself.
constexpr auto gauge_look = std::chrono::milliseconds(20);
constexpr std::uint32_t short_tokens = 8, long_tokens = 100'000;
/// Of a long answer that comes in one piece, whose server may not notice that nobody waits for it.
constexpr std::uint32_t whole_tokens = 1'000;
constexpr std::uint32_t prompt_room = 64; ///< Tokens; above those of the prompt, with a template.
constexpr auto taken_time = std::chrono::milliseconds(500); ///< Until such a server works on it.

error skipped(std::string why) {
  return {recovery::refuse, "skipped", std::move(why)};
}
error failed(std::string why) {
  return {recovery::refuse, "failed", std::move(why)};
}

/// Makes a folder in the scratch, which is empty when there was no room for one. Returns: its path.
result<std::string> folder_in(const fs::path& scratch, const char* name) {
  std::error_code wrong;
  if (!scratch.empty())
    fs::create_directories(scratch / name, wrong);
  if (scratch.empty() || wrong)
    return failed("no scratch folder can be made in " + fs::temp_directory_path().string());
  return (scratch / name).string();
}

/// Whether a load that failed so had not come to start one.
bool before_any_container(const std::string& code) {
  static const std::set<std::string> codes{"container_engine", "image_missing", "image_pull_failed",
                                           "tool_missing"};
  return codes.contains(code);
}

std::string since(steady_clock::time_point began) {
  const auto spent = steady_clock::now() - began;
  return format_duration(std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
}

/// Of a file, or of all files below a folder.
std::uint64_t bytes_in(const fs::path& output) {
  std::error_code ignored;
  if (!fs::is_directory(output, ignored))
    return fs::is_regular_file(output, ignored) ? fs::file_size(output, ignored) : 0;
  std::uint64_t sum = 0;
  for (const auto& one : fs::recursive_directory_iterator(output, ignored))
    sum += one.is_regular_file(ignored) ? one.file_size(ignored) : 0;
  return sum;
}

/// Why `artifacts import` would not take what the compiler made; empty when it would.
std::string unlike_begins(const std::string& output, const std::string& begins) {
  std::error_code ignored;
  if (begins.empty())
    return {};
  if (fs::is_directory(output, ignored))
    return "it made a folder, and `begins` is of a file that begins with " + in_words(begins);
  const auto head = node::read_file_head(output, begins.size());
  if (head && head->starts_with(begins))
    return {};
  return "what it made begins with " + in_words(head.value_or("")) + ", and `begins` says "
         + in_words(begins);
}

/// A folder of ours alone; empty when there is no room for one.
fs::path fresh_folder() {
  auto name = (fs::temp_directory_path() / "consort-check-XXXXXX").string();
  return ::mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
}

/// Every process below this one, by the parents that /proc names.
std::vector<pid_t> descendants() {
  std::multimap<pid_t, pid_t> children;
  std::error_code ignored;
  for (const auto& one : fs::directory_iterator("/proc", ignored)) {
    const auto name = one.path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc())
      continue;
    const auto text = node::read_whole_file(one.path() / "stat").value_or("");
    // After the command's name, which may hold anything: state, parent.
    const auto end = text.rfind(')');
    if (end == std::string::npos || end + 4 >= text.size())
      continue;
    pid_t parent = 0;
    std::from_chars(text.data() + end + 4, text.data() + text.size(), parent);
    children.emplace(parent, pid);
  }
  std::vector<pid_t> found{::getpid()};
  for (std::size_t at = 0; at < found.size(); ++at) {
    const auto [from, to] = children.equal_range(found[at]);
    for (auto child = from; child != to; ++child)
      found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

} // namespace

/// Hears an attempt to its end.
class plugin_trial::listener final : public attempt_sink {
public:
  void on_event(attempt_event happened) override {
    const std::lock_guard lock(mutex_);
    if (const auto* piece = std::get_if<attempt_tokens>(&happened)) {
      text_ += piece->text;
      tokens_ += std::max<std::size_t>(piece->token_ids.size(), piece->text.empty() ? 0 : 1);
    }
    if (std::holds_alternative<attempt_completed>(happened)
        || std::holds_alternative<attempt_aborted>(happened))
      end_ = std::move(happened);
    changed_.notify_all();
  }
  /// Returns: whether it came within that time.
  bool first_token(std::chrono::milliseconds within) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, within, [this] { return tokens_ > 0 || end_; });
    return tokens_ > 0;
  }
  std::optional<attempt_event> end(std::chrono::milliseconds within) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, within, [this] { return end_.has_value(); });
    return end_;
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  std::size_t tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::size_t tokens_ = 0;
  std::optional<attempt_event> end_;
};

plugin_trial::plugin_trial(node::plugin_document document, const std::string& folder,
                           std::string model, bool named, std::vector<std::string> hosts_in)
    : work_(io_.get_executor()),
      scratch_(fresh_folder()),
      model_(std::move(model)),
      named_(named),
      folder_(folder),
      hosts_in_(std::move(hosts_in)),
      box_(document.runtime.server.container),
      plugin_(std::make_unique<node::json_plugin>(
          std::move(document), folder, node::make_plugin_environment(io_, executable_path()))),
      interrupts_(io_, SIGINT, SIGTERM) {
  interrupts_.async_wait([this](const boost::system::error_code& failed, int) {
    if (!failed)
      interrupted();
  });
  for (std::size_t i = 0; i < threads; ++i)
    threads_.emplace_back([this] { io_.run(); });
}

plugin_trial::~plugin_trial() {
  session_.reset();
  plugin_.reset();
  work_.reset();
  io_.stop();
  for (auto& thread : threads_)
    thread.join();
  std::error_code ignored;
  if (!scratch_.empty())
    fs::remove_all(scratch_, ignored);
}

/// Tools are in groups of their own: what a terminal sends does not reach them.
void plugin_trial::interrupted() {
  interrupted_ = true;
  interrupts_.async_wait([](const boost::system::error_code& failed, int) {
    if (!failed) // Who asks twice does not want to wait.
      ::_exit(static_cast<int>(exit_code::failed));
  });
  std::string left;
  for (int round = 0; round < 2; ++round) { // At the first, one may just have been starting.
    for (const auto pid : descendants())
      ::kill(pid, SIGKILL);
    const auto removed = remove_containers();
    left = removed ? "" : "\nconsort: " + removed.failure().message;
  }
  std::error_code ignored;
  if (!scratch_.empty())
    fs::remove_all(scratch_, ignored);
  const auto said = left + "\nconsort: interrupted; the rows above are what was seen\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, said.data(), said.size());
  ::_exit(static_cast<int>(exit_code::failed));
}

void plugin_trial::stay_if_interrupted() const {
  while (interrupted_)
    std::this_thread::sleep_for(gauge_look);
}

/// What its keeper could not remove within a node's short time, or a signal kept it from removing.
result<done> plugin_trial::remove_containers() const {
  if (!boxed_)
    return done{};
  return node::remove_until_gone(box_->engine, folder_, node::trial_owner(), removal_us_max);
}

result<std::string> plugin_trial::remove() {
  if (!boxed_)
    return skipped("no container was started");
  const auto began = steady_clock::now();
  session_.reset();
  plugin_.reset(); // Which stops them first.
  if (const auto gone = remove_containers(); !gone)
    return gone.failure();
  return "no container is left after " + since(began);
}

/// Whether the probe looked at devices of a bus, which may be others' alone, and at all that it
/// needs of them: where no tool of a vendor is, nothing else says that the hardware is there.
bool plugin_trial::looks_at_bus() const {
  const auto& asked = plugin_->document().probe;
  const auto fault = plugin_->fault();
  return asked.parse == node::answer_format::sysfs && !asked.where.empty()
         && !(fault && fault->message.starts_with("probe: "));
}

/// A device that the engine runs models on: of this host or, where it has none, the first of one of
/// those plugins, wherever it is.
device_spec plugin_trial::host_of_engine() {
  const auto found = find_host(*plugin_, hosts_in_);
  if (found.device)
    return *found.device;
  const auto& hosts = plugin_->document().runs_on;
  for (const auto& [name, how] : hosts)
    hostless_ += (hostless_.empty() ? "no device of " : ", ") + name;
  hostless_ += " is on this host" + (found.why.empty() ? "" : " (" + found.why + ")");
  device_spec stand_in;
  stand_in.uuid = "first";
  stand_in.plugin = hosts.begin()->first;
  stand_in.attributes["index"] = "0";
  stand_in.capability = plugin_->adds_to(stand_in).value_or(device_capability{});
  return stand_in;
}

result<std::vector<device_spec>> plugin_trial::probe() {
  auto devices = plugin_->probe();
  if (devices && !plugin_->document().runs_on.empty())
    devices->push_back(host_of_engine());
  if (devices && devices->empty() && looks_at_bus())
    return skipped("not on this host: no device of its among " + plugin_->document().probe.each);
  if (devices && devices->empty())
    return failed("it answers, and lists no device"
                  + (plugin_->nothing_found().empty() ? "" : ": " + plugin_->nothing_found()));
  if (devices) {
    device_ = devices->front();
    device_->id = device_id(std::string("local/") + plugin_->metadata().name);
  }
  return devices;
}

/// What the plugin runs as it is: `gguf` or `server/NAME`; empty when it runs engines only.
std::string plugin_trial::format() const {
  const auto& formats = plugin_->document().capability.formats;
  return formats.empty() ? std::string() : formats.front();
}

std::vector<std::string> plugin_trial::formats_of(const build_profile& built) const {
  for (const auto& rule : plugin_->document().builds)
    if (rule.profile.name == built.name)
      return rule.formats;
  return {};
}

/// A compiler builds for what a device says, and none says it.
error plugin_trial::without_target(const std::string& compiler,
                                   const std::string& attribute) const {
  const auto goal = attribute + ", for which " + compiler + " builds";
  if (!hostless_.empty())
    return skipped(hostless_ + ", so that nobody says its " + goal);
  return skipped("no device here says its " + goal + ": " + device_->uuid + " (" + device_->model
                 + ") does not");
}

/// Why nothing is to be built, or can be.
std::optional<error> plugin_trial::builds_nothing(bool any_profile) {
  const bool any = format().find('*') != std::string::npos;
  if (any && !named_)
    return skipped("say with --model what it is to run");
  if (!format().empty())
    engine_ = format().starts_with("server/") && !any ? format().substr(format().find('/') + 1)
                                                      : model_;
  if (!any_profile && !format().empty())
    return skipped("it runs " + format() + " as it is");
  if (const auto idle = plugin_->compilers_without_target();
      !idle.empty() && plugin_->toolchains().empty())
    return without_target(idle.front().first.compiler, idle.front().second);
  if (plugin_->toolchains().empty())
    return skipped("no compiler of it is on this host");
  if (!any_profile && !plugin_->missing_library().empty())
    return skipped("the vendor's library is missing: " + plugin_->missing_library());
  if (!any_profile && !hostless_.empty())
    return skipped(hostless_ + " to build for");
  if (!any_profile && plugin_->metadata().engine)
    return skipped("it builds nothing for " + device_->uuid + " (" + device_->model + ")");
  if (!any_profile)
    return failed("no build profile is for " + device_->model);
  if (model_.empty())
    return skipped("no model is there to build: name one with --model");
  return std::nullopt;
}

result<std::string> plugin_trial::build() {
  const auto profiles = device_->capability.build_profiles;
  if (const auto why = builds_nothing(!profiles.empty()))
    return *why;
  const auto work = folder_in(scratch_, "work");
  if (!work)
    return work.failure();
  node::digest_cache digests((scratch_ / "digests.json").string());
  const auto weights = node::describe_here(fs::absolute(model_).string(), digests);
  if (!weights)
    return weights.failure();
  if (const auto wanted = formats_of(profiles.front().profile);
      !wanted.empty() && std::find(wanted.begin(), wanted.end(), weights->format) == wanted.end())
    return skipped("its compiler reads " + wanted.front() + ", and " + model_ + " is "
                   + weights->format + ": name a model with --model");
  node::compile_request order;
  order.key = {artifact_kind::engine_weights, weights->content.value, profiles.front().profile};
  order.model_path = model_;
  order.model_format = weights->format;
  order.output_path = (scratch_ / "engine").string();
  order.work_path = *work;
  if (profiles.front().profile.needs_device)
    order.devices = {*device_};
  auto ended = std::make_shared<std::promise<result<node::compile_outcome>>>();
  auto outcome = ended->get_future();
  const auto began = steady_clock::now();
  std::atomic<bool> progressed = false;
  const auto running = plugin_->compile(
      order,
      [this, &progressed](std::uint32_t done_pm) {
        progressed = true;
        if (progress_)
          progress_(done_pm);
      },
      [ended](result<node::compile_outcome> how) { ended->set_value(std::move(how)); });
  const auto built = outcome.get(); // Within the compiler's own limit.
  if (!built)
    return built.failure();
  const auto size = bytes_in(order.output_path);
  if (size == 0)
    return failed("the compiler said that it succeeded and wrote nothing to {output}");
  engine_ = order.output_path;
  const auto& rules = plugin_->document().builds;
  for (const auto& rule : rules)
    if (rule.profile.name == profiles.front().profile.name)
      if (const auto unlike = unlike_begins(engine_, rule.begins); !unlike.empty())
        return failed(unlike);
  const bool tells = std::any_of(rules.begin(), rules.end(),
                                 [](const auto& rule) { return !rule.progress.empty(); });
  return profiles.front().profile.name + ": " + std::to_string(size) + " bytes in " + since(began)
         + (tells && !progressed ? "; nothing that it printed matched `progress`" : "");
}

result<std::string> plugin_trial::load() {
  auto* const runtime = plugin_->device_runtime();
  if (runtime == nullptr)
    return skipped("plugin.json has no `runtime`");
  if (engine_.empty())
    return skipped("there is nothing to load");
  if (const auto slot = device_->attributes.find("runtime");
      slot != device_->attributes.end() && slot->second.starts_with("missing: "))
    return skipped("the vendor's library is " + slot->second);
  node::session_request wanted;
  wanted.instance = instance_id{1};
  wanted.device = *device_;
  wanted.model = model_name(format().starts_with("server/") ? engine_ : "check");
  wanted.path = engine_;
  wanted.variant.format = format();
  wanted.variant.source = model_;
  if (runtime->cache_bytes_max() > 0) {
    auto cache = folder_in(scratch_, "cache"); // Of this trial alone: it starts cold.
    if (!cache)
      return cache.failure();
    wanted.cache_path = *std::move(cache);
  }
  auto opened = std::make_shared<std::promise<result<std::shared_ptr<node::runtime_session>>>>();
  auto outcome = opened->get_future();
  const auto began = steady_clock::now();
  boxed_ = box_.has_value();
  runtime->open(
      wanted, [opened](auto how) { opened->set_value(std::move(how)); },
      [this](const error& why) { died_.set_value(why); });
  const auto patience = std::chrono::microseconds(plugin_->document().runtime.start_timeout_us);
  if (outcome.wait_for(patience + grace) != std::future_status::ready)
    return failed("it neither loaded nor failed within its start_timeout");
  auto session = outcome.get();
  if (!session) {
    boxed_ = boxed_ && !before_any_container(session.failure().code);
    return session.failure();
  }
  session_ = *std::move(session);
  return "on " + device_->uuid + " in " + since(began);
}

attempt_id plugin_trial::latest() const {
  return {request_id{gateway_id{1}, attempts_}, 1};
}

std::shared_ptr<plugin_trial::listener> plugin_trial::submit(std::uint32_t max_tokens) {
  const auto heard = std::make_shared<listener>();
  constexpr auto prompt = "Once upon a time";
  const bool chats = !plugin_->document().runtime.server.completions;
  nlohmann::json asked{{"model", "check"}, {"max_tokens", max_tokens}, {"temperature", 0}};
  if (chats)
    asked["messages"] = nlohmann::json::array({{{"role", "user"}, {"content", prompt}}});
  else
    asked["prompt"] = prompt;
  attempt_body body;
  body.kind = chats ? request_kind::chat : request_kind::completion;
  body.json = asked.dump();
  ++attempts_;
  session_->submit(latest(), std::move(body), heard);
  return heard;
}

result<std::string> plugin_trial::generate() {
  if (!session_)
    return skipped("nothing is loaded");
  const auto began = steady_clock::now();
  const auto heard = submit(short_tokens);
  const auto end = heard->end(answer_time);
  if (!end)
    return failed("no end of an answer within " + since(began));
  if (const auto* why = std::get_if<attempt_aborted>(&*end))
    return why->failure;
  if (heard->tokens() == 0)
    return failed("it completed without a token");
  // It was answered all the same: whoever pays for that server would never know.
  if (const auto missed = session_->stats().stage_missed; !missed.empty())
    return failed("answered in " + since(began) + ", but the " + missed);
  return std::to_string(heard->tokens()) + " tokens in " + since(began) + ": \""
         + heard->text().substr(0, 60) + "\"";
}

/// As long as may be: a server refuses what is longer than its context.
std::shared_ptr<plugin_trial::listener> plugin_trial::submit_long() {
  const auto most = plugin_->document().capability.runtime.streaming ? long_tokens : whole_tokens;
  const auto context = session_->capabilities().context_tokens;
  return submit(context > prompt_room ? std::min(most, context - prompt_room) : most);
}

/// Waits until a long answer is under way: for its first token, or for a moment where it comes in
/// one piece. Returns: why it is not.
std::optional<error> plugin_trial::not_under_way(listener& heard) const {
  const bool streams = plugin_->document().capability.runtime.streaming;
  const bool begun = !streams || heard.first_token(answer_time);
  const auto end = heard.end(streams ? std::chrono::milliseconds(0) : taken_time);
  const auto* why = end ? std::get_if<attempt_aborted>(&*end) : nullptr;
  if (why != nullptr)
    return why->failure;
  if (!begun)
    return failed("no token came of a long answer");
  return std::nullopt;
}

result<std::string> plugin_trial::cancel() {
  if (!session_)
    return skipped("nothing is loaded");
  const auto submitted_us = links::steady_now_us();
  const auto heard = submit_long();
  if (const auto why = not_under_way(*heard))
    return *why;
  const bool cancels = plugin_->document().capability.runtime.cancel;
  const auto shown = cancels ? gauge_of_ours(submitted_us) : std::nullopt;
  const auto began = steady_clock::now();
  const auto cancelled_us = links::steady_now_us();
  session_->cancel(latest());
  const auto end = heard->end(end_time);
  if (!end)
    return failed("it went on for " + since(began) + " after it was cancelled");
  if (std::holds_alternative<attempt_completed>(*end))
    return skipped("the answer was complete before it could be cancelled");
  const auto ended = "ended " + since(began) + " after it was asked to";
  if (plugin_->document().runtime.interface != node::runtime_interface::server)
    return ended;
  if (!cancels)
    return ended + ": its connection was closed; that its server stops, plugin.json does not say";
  const auto lacks = lacking_gauges();
  if (!shown)
    return ended + ": cancel sent; the server shows no gauge that would prove that it stopped"
           + lacks;
  const auto left = gauge_below(*shown, cancelled_us);
  // Of a server that others use too, only the last request that ends is surely ours.
  const bool shared = plugin_->document().runtime.server.command.empty();
  if (left && *left < *shown)
    return ended + ": requests in the server fell from " + std::to_string(*shown) + " to "
           + std::to_string(*left) + " within " + since(began)
           + (shared && *left > 0 ? "; it may have been another's that ended" : "") + lacks;
  if (!left)
    return ended
           + ": cancel sent; its gauges could not be read since, nothing proves that it stopped";
  if (shared)
    return ended + ": cancel sent; the server still tells of " + std::to_string(*left)
           + " requests, which may be others'";
  return failed("the server goes on although its client has left: its gauges still tell of "
                + std::to_string(*left) + " requests after " + since(began));
}

/// What `metrics` names and the server does not tell; empty = nothing.
std::string plugin_trial::lacking_gauges() const {
  const auto lacks = session_->stats().engine_lacks;
  const auto& path = plugin_->document().runtime.server.metrics.path;
  return lacks.empty() ? "" : "; GET " + path + " has no " + lacks;
}

/// What the server's own gauges say while an answer of ours runs there. Returns: nothing where they
/// do not show it.
std::optional<std::uint64_t> plugin_trial::gauge_of_ours(std::int64_t since_us) {
  const auto& rule = plugin_->document().runtime.server.metrics;
  if (rule.path.empty() || !(rule.figures.contains("running") || rule.figures.contains("waiting")))
    return std::nullopt;
  const auto until = links::steady_now_us() + readings_awaited * rule.every_us + gauge_grace_us;
  for (; links::steady_now_us() < until; std::this_thread::sleep_for(gauge_look))
    if (const auto seen = session_->stats();
        seen.engine_requests.value_or(0) > 0 && seen.engine_told_us > since_us)
      return seen.engine_requests;
  return std::nullopt;
}

/// Waits until they say less than that, for as long as an end may take. Returns: the last that
/// they said since; nothing when they said nothing.
std::optional<std::uint64_t> plugin_trial::gauge_below(std::uint64_t shown, std::int64_t since_us) {
  const auto& rule = plugin_->document().runtime.server.metrics;
  const auto until = links::steady_now_us() + readings_awaited * rule.every_us
                     + std::chrono::microseconds(end_time).count();
  std::optional<std::uint64_t> last;
  for (; links::steady_now_us() < until; std::this_thread::sleep_for(gauge_look)) {
    const auto seen = session_->stats();
    if (seen.engine_requests && seen.engine_told_us > since_us)
      last = seen.engine_requests;
    if (last && *last < shown)
      break;
  }
  return last;
}

result<std::string> plugin_trial::kill() {
  if (!session_)
    return skipped("nothing is loaded");
  const auto& rule = plugin_->document().runtime;
  if (rule.interface == node::runtime_interface::server && rule.server.command.empty())
    return skipped("the server is not ours to kill");
  const auto heard = submit_long();
  [[maybe_unused]] const auto ended = not_under_way(*heard); // It is killed all the same.
  const auto began = steady_clock::now();
  for (const auto pid : descendants())
    ::kill(pid, SIGKILL);
  auto died = died_.get_future();
  if (died.wait_for(end_time) != std::future_status::ready)
    return failed("nobody noticed within " + since(began) + " that its processes were killed");
  const auto why = died.get();
  if (!heard->end(end_time))
    return failed("an attempt that ran then has no end");
  return "noticed after " + since(began) + ": " + why.message;
}

} // namespace consort::cli
