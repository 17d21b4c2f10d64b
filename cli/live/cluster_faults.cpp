// SPDX-License-Identifier: Apache-2.0
// What a rehearsal does to its processes and links.
#include "cli/live/cluster_state.hpp"
#include "cli/live/limits.hpp"
#include "cli/simulated_node.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <csignal>
#include <filesystem>

namespace consort::live {

namespace {

constexpr const char* gateway_name = "gateway";
constexpr std::string_view node_is_up = " joins "; ///< In what a node prints.

} // namespace

cluster::member& cluster::member_of(const std::string& node) {
  return *nodes_.at(node);
}

void cluster::kill_node(const std::string& node) {
  auto& one = member_of(node);
  if (!one.runs)
    return;
  one.runs->expected = true;
  if (one.runs->runs)
    one.runs->runs->signal(SIGKILL);
  one.runs = nullptr;
}

void cluster::start_node(const std::string& node) {
  auto& one = member_of(node);
  if (one.runs)
    return;
  std::optional<networks::visit> there;
  if (networks_)
    there.emplace(*networks_, one.place); // What is forked meanwhile lives there.
  const auto launched = std::chrono::steady_clock::now();
  one.runs = launch(node, node_arguments(one), [this, launched](std::string_view line) {
    if (line.find(node_is_up) == std::string_view::npos)
      return;
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::steady_clock::now() - launched)
                          .count();
    startup_us_ = std::min<duration_us>(startup_us_.value_or(took), took);
  });
}

void cluster::freeze_node(const std::string& node, bool frozen) {
  auto& one = member_of(node);
  if (one.runs && one.runs->runs)
    one.runs->runs->signal(frozen ? SIGSTOP : SIGCONT);
}

task<void> cluster::end_node(const std::string& node) {
  auto& one = member_of(node);
  if (!one.runs)
    co_return;
  one.runs->expected = true;
  if (one.runs->runs)
    one.runs->runs->signal(SIGTERM);
  const auto end = std::chrono::steady_clock::now() + limits::stop_timeout;
  while (one.runs && !one.runs->ended && std::chrono::steady_clock::now() < end)
    co_await rest(limits::ask_every);
  kill_node(node);
}

void cluster::hold_node(const std::string& node, bool forth, bool back) {
  const auto& one = member_of(node);
  if (!networks_)
    return one.link->hold(forth, back);
  if (const auto held = networks_->hold(one.place, forth, back); !held && !casualty_)
    casualty_ = "the network of " + node + ": " + held.failure().message;
}

void cluster::cut(const std::string& who, bool broken) {
  (who == gateway_name ? *gateway_link_ : *member_of(who).link).cut(broken);
}

void cluster::trouble(const std::string& node, const node::simulated_troubles& wanted) {
  const auto path = member_of(node).data_folder + "/" + cli::troubles_file;
  const auto beside = path + ".new";
  std::ofstream(beside, std::ios::binary) << node::render_troubles(wanted);
  std::error_code failed;
  std::filesystem::rename(beside, path, failed); // Whole, or not at all.
  if (failed)
    spdlog::error("{}: {}", path, failed.message());
}

task<void> cluster::kill_scheduler() {
  if (!scheduler_)
    co_return;
  earlier_ = co_await counts();
  scheduler_->expected = true;
  if (scheduler_->runs)
    scheduler_->runs->signal(SIGKILL);
  scheduler_ = nullptr;
  scheduler_port_ = 0;
  gateway_link_->lead_to(0);
  for (const auto& [name, one] : nodes_)
    one->link->lead_to(0);
}

task<void> cluster::start_scheduler() {
  if (!scheduler_)
    launch_scheduler(); // Links find it as soon as it says where it listens.
  co_return;
}

task<void> cluster::set_draining(const std::string& node, const std::string& verb) {
  nlohmann::json body{{"target", node}, {"reason", "rolling upgrade"}};
  if (verb == "drain")
    body["deadline"] = std::to_string(sim::limits::drain_us) + "us";
  const auto answer = co_await ask(scheduler_port_, "POST", "/api/v1/" + verb, body.dump());
  if (!answer || answer->status >= 300)
    spdlog::error("{} {}: {}", verb, node,
                  answer ? "HTTP " + std::to_string(answer->status) : answer.failure().message);
}

task<std::optional<std::uint64_t>> cluster::running_on(const std::string& node) {
  const auto answer = co_await ask(scheduler_port_, "GET", "/api/v1/nodes");
  const auto said = answer ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json();
  if (!said.is_object() || !said.contains("nodes"))
    co_return std::nullopt;
  for (const auto& one : said["nodes"])
    if (one.value("node", std::string()) == node && one.value("alive", false))
      co_return one.value("running", std::uint64_t{0});
  co_return std::nullopt;
}

} // namespace consort::live
