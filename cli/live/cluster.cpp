// SPDX-License-Identifier: Apache-2.0
// The processes of a rehearsal: how they start and end. What strikes them is in cluster_faults.cpp.
#include "cli/live/cluster.hpp"

#include "cli/live/cluster_state.hpp"
#include "cli/live/configuration.hpp"
#include "cli/live/limits.hpp"
#include "node/simulated/model_card.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <charconv>
#include <csignal>
#include <filesystem>
#include <random>

namespace consort::live {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* loopback = "127.0.0.1";
constexpr std::string_view listening = "listening on http://127.0.0.1:";
constexpr std::string_view joining = "consort node --join 127.0.0.1:";

/// The number behind `mark` in a line; 0 = it is not there.
port_number port_behind(std::string_view line, std::string_view mark) {
  const auto at = line.find(mark);
  port_number found = 0;
  if (at != std::string_view::npos)
    std::from_chars(line.data() + at + mark.size(), line.data() + line.size(), found);
  return found;
}

std::string fresh_token() {
  std::random_device source;
  std::string made;
  for (int part = 0; part < 8; ++part) {
    constexpr std::string_view digits = "0123456789abcdef";
    for (auto bits = source(), letter = 0U; letter < 8; ++letter, bits >>= 4U)
      made += digits[bits & 15U];
  }
  return made;
}

std::string local(port_number port) {
  return std::string(loopback) + ":" + std::to_string(port);
}

result<done> write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (file.flush())
    return done{};
  return error{recovery::refuse, "failed", "cannot write " + path};
}

} // namespace

task<void> rest(std::chrono::milliseconds span) {
  asio::steady_timer timer(co_await asio::this_coro::executor, span);
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

cluster::cluster(asio::io_context& io, cluster_settings settings)
    : io_(io), settings_(std::move(settings)), token_(fresh_token()) {}

cluster::~cluster() = default;

std::unique_ptr<cluster::process> cluster::launch(const std::string& name,
                                                  std::vector<std::string> arguments,
                                                  std::function<void(std::string_view)> on_line) {
  auto made = std::make_unique<process>();
  made->name = name;
  made->log.open(settings_.folder + "/logs/" + name + ".log", std::ios::app);
  node::child_spec spec;
  spec.argv = {settings_.executable, "--log-level", settings_.log_level, "--config",
               settings_.folder + "/cluster.json"};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  spec.timeout_us = 0;
  auto* one = made.get();
  auto started = node::child_process::start(
      io_, spec,
      [one, on_line](std::string_view line, bool) {
        one->log << line << '\n' << std::flush;
        if (on_line)
          on_line(line);
      },
      [this, one](const node::child_exit& end) {
        one->ended = true;
        if (!one->expected && !casualty_)
          casualty_ = one->name + " "
                      + node::with_last_words(node::describe_exit(end),
                                              end.err.tail.substr(0, limits::last_words_bytes_max));
      });
  if (started)
    made->runs = std::move(*started);
  else if (!casualty_)
    casualty_ = name + ": " + started.failure().message;
  made->ended = made->runs == nullptr;
  return made;
}

// --- start ---

/// The scheduler's configuration, the gateway's too, and a card for each model.
result<done> cluster::write_configuration() const {
  // Numbered: a model's name may hold slashes.
  const auto card_of = [this](const sim::scenario_model& model) {
    const auto place = &model - settings_.plan.models.data();
    return settings_.folder + "/model-" + std::to_string(place) + ".sim";
  };
  for (const auto& model : settings_.plan.models) {
    model_variant sizes;
    sizes.shape = model.name;
    sizes.quantization = "f16";
    sizes.weight_bytes = model.weight_bytes;
    sizes.kv_bytes_per_token = model.kv_bytes_per_token;
    sizes.context_tokens = model.context_tokens;
    if (auto written = write_text(card_of(model), node::render_simulated_card(sizes)); !written)
      return written;
  }
  return write_text(settings_.folder + "/cluster.json",
                    configuration_of(settings_.plan, settings_.policy, card_of));
}

void cluster::heard_of_scheduler(std::string_view line) {
  if (const auto port = port_behind(line, listening))
    scheduler_port_ = port;
  const auto links = port_behind(line, joining);
  if (links == 0)
    return;
  link_port_ = links;
  gateway_link_->lead_to(links);
  for (const auto& [name, one] : nodes_)
    one->link->lead_to(links);
}

void cluster::launch_scheduler() {
  scheduler_port_ = link_port_ = 0;
  scheduler_ = launch("scheduler",
                      {"scheduler", "--listen", "127.0.0.1:0", "--link-listen", "127.0.0.1:0",
                       "--token", token_, "--data", settings_.folder + "/scheduler"},
                      [this](std::string_view line) { heard_of_scheduler(line); });
}

std::vector<std::string> cluster::node_arguments(const member& one) const {
  const auto hub = networks_ ? networks::hub_address() : std::string(loopback);
  const auto own = networks_ ? networks::address_of(one.place) : std::string(loopback);
  return {"node",    "--join",        hub + ":" + std::to_string(one.link->port()),
          "--token", token_,          "--name",
          one.name,  "--simulate",    settings_.scenario_path,
          "--data",  one.data_folder, "--data-listen",
          own + ":0"};
}

task<result<done>> cluster::wait_until(const std::string& what, const std::function<bool()>& so) {
  const auto end = std::chrono::steady_clock::now() + limits::ready_timeout;
  while (!so()) {
    if (casualty_)
      co_return error{recovery::refuse, "failed", *casualty_};
    if (std::chrono::steady_clock::now() > end)
      co_return error{recovery::retry_later, "failed",
                      what + " took longer than " + std::to_string(limits::ready_timeout.count())
                          + " s; its log is in " + settings_.folder + "/logs"};
    co_await rest(limits::ask_every);
  }
  co_return done{};
}

/// Only for what needs them: without a partition they would change nothing but the noise.
void cluster::make_networks() {
  const auto& planned = settings_.plan.faults;
  if (std::none_of(planned.begin(), planned.end(), [](const sim::scenario_fault& one) {
        return one.kind == sim::fault_kind::partition;
      }))
    return;
  auto made = networks::make(settings_.plan.nodes.size());
  partitions_by_
      = made ? "network namespaces" : "relays of control links (" + made.failure().message + ")";
  if (made)
    networks_ = std::move(*made);
}

/// Each node's folder and link, and the gateway's link.
result<done> cluster::add_members() {
  auto link = relay::start(io_);
  if (!link)
    return link.failure();
  gateway_link_ = std::move(*link);
  for (const auto& described : settings_.plan.nodes) {
    auto own = networks_ ? relay::start(io_, networks::hub_address()) : relay::start(io_);
    if (!own)
      return own.failure();
    auto made = std::make_unique<member>();
    made->name = described.name;
    made->data_folder = settings_.folder + "/nodes/" + described.name;
    made->place = nodes_.size();
    made->link = std::move(*own);
    fs::create_directories(made->data_folder);
    nodes_[described.name] = std::move(made);
  }
  return done{};
}

task<result<done>> cluster::start() {
  fs::create_directories(settings_.folder + "/logs");
  if (auto written = write_configuration(); !written)
    co_return written;
  make_networks();
  if (auto added = add_members(); !added)
    co_return added;
  launch_scheduler();
  if (auto ready = co_await wait_until("the scheduler",
                                       [this] { return scheduler_port_ != 0 && link_port_ != 0; });
      !ready)
    co_return ready;
  gateway_
      = launch("gateway",
               {"gateway", "--join", local(gateway_link_->port()), "--listen", "127.0.0.1:0",
                "--token", token_, "--name", "gateway", "--data", settings_.folder + "/gateway"},
               [this](std::string_view line) {
                 if (const auto port = port_behind(line, listening))
                   gateway_port_ = port;
               });
  for (const auto& [name, one] : nodes_)
    start_node(name);
  if (auto ready = co_await wait_until("the gateway", [this] { return gateway_port_ != 0; });
      !ready)
    co_return ready;
  co_return co_await wait_for_links();
}

/// Until the gateway reaches the scheduler, and the scheduler knows every node.
task<result<done>> cluster::wait_for_links() {
  const auto end = std::chrono::steady_clock::now() + limits::ready_timeout;
  while (!co_await all_linked()) {
    if (casualty_ || std::chrono::steady_clock::now() > end)
      co_return error{recovery::retry_later, "failed",
                      casualty_.value_or("not all processes found each other; their logs are in "
                                         + settings_.folder + "/logs")};
    co_await rest(limits::ask_every);
  }
  co_return done{};
}

task<bool> cluster::all_linked() {
  const auto gateway = co_await ask(gateway_port_, "GET", "/api/v1/cluster");
  if (!gateway || gateway->status != 200)
    co_return false;
  const auto answer = co_await ask(scheduler_port_, "GET", "/api/v1/nodes");
  const auto said = answer ? json::parse(answer->body, nullptr, false) : json();
  if (!said.is_object() || !said.contains("nodes"))
    co_return false;
  const auto& nodes = said["nodes"];
  co_return std::count_if(nodes.begin(), nodes.end(), [](const json& one) {
    return one.value("alive", false);
  }) == static_cast<std::ptrdiff_t>(nodes_.size());
}

// --- end ---

task<void> cluster::stop() {
  std::vector<process*> all;
  for (auto* one : {gateway_.get(), scheduler_.get()})
    if (one != nullptr)
      all.push_back(one);
  for (const auto& [name, one] : nodes_)
    if (one->runs)
      all.push_back(one->runs.get());
  for (auto* one : all) {
    one->expected = true;
    if (one->runs) {
      one->runs->signal(SIGCONT); // What stands still cannot end.
      one->runs->cancel();
    }
  }
  const auto end = std::chrono::steady_clock::now() + limits::stop_timeout;
  const auto running = [&] {
    return std::any_of(all.begin(), all.end(), [](const process* one) { return !one->ended; });
  };
  while (running() && std::chrono::steady_clock::now() < end)
    co_await rest(limits::ask_every);
}

// --- what the scheduler counted ---

task<scheduler_counts> cluster::read_counts() {
  scheduler_counts made;
  const auto answer = co_await ask(scheduler_port_, "GET", "/api/v1/cluster");
  if (!answer || answer->status != 200)
    co_return made;
  const auto said = json::parse(answer->body, nullptr, false);
  if (!said.is_object() || !said.contains("counters"))
    co_return made;
  const auto& counters = said["counters"];
  // All tickets beyond a request's first, as the simulation counts them.
  made.failovers = counters.value("retries", std::uint64_t{0})
                   + counters.value("preemptions", std::uint64_t{0});
  made.resumes = counters.value("resumes", std::uint64_t{0});
  made.builds = counters.value("builds_started", std::uint64_t{0});
  made.loads = counters.value("loads", std::uint64_t{0});
  co_return made;
}

task<scheduler_counts> cluster::counts() {
  auto sum = co_await read_counts();
  sum.failovers += earlier_.failovers;
  sum.resumes += earlier_.resumes;
  sum.builds += earlier_.builds;
  sum.loads += earlier_.loads;
  co_return sum;
}

} // namespace consort::live
