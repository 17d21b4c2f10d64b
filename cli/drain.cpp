// SPDX-License-Identifier: Apache-2.0
// `cordon` stops new work on a target, `drain` also empties it by a deadline; `undrain` and
// `uncordon` lift them.
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/limits.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>
#include <thread>

namespace consort::cli {

namespace {

struct drain_options {
  std::string target;
  std::string reason;
  std::string deadline = "2m";
};

/// Devices have a slash in their id, nodes have none.
bool is_device(const std::string& target) {
  return target.find('/') != std::string::npos;
}

/// `verb` is the subcommand's name and the API's alike.
result<json> set_draining(const context& env, const drain_options& wanted, const char* verb) {
  json body{{"target", wanted.target}, {"reason", wanted.reason}};
  if (std::string_view(verb) == "drain")
    body["deadline"] = wanted.deadline;
  return send(env, "POST", std::string("/api/v1/") + verb, body);
}

/// Whether the device is the target or on it.
bool covers(const std::string& target, const std::string& device) {
  return device == target || device.starts_with(target + "/");
}

/// What has a share of the target: instances, and the attempts that they run.
struct share_left {
  std::uint64_t running = 0, loaded = 0;
  friend bool operator==(const share_left&, const share_left&) = default;
};

result<share_left> left_on(const context& env, const std::string& target) {
  const auto answer = fetch(env, "/api/v1/replicas");
  if (!answer)
    return answer.failure();
  share_left left;
  for (const auto& replica : answer->value("replicas", json::array())) {
    const auto devices = replica.value("devices", std::vector<std::string>());
    if (std::none_of(devices.begin(), devices.end(),
                     [&](const auto& device) { return covers(target, device); }))
      continue;
    left.running += replica.value("running", std::uint64_t{0});
    ++left.loaded;
  }
  return left;
}

std::string words_of(const share_left& left) {
  return left.running > 0 ? std::to_string(left.running) + " in flight"
                          : std::to_string(left.loaded) + " loaded, being unloaded";
}

error still_there(const drain_options& wanted, const share_left& left) {
  return {recovery::retry_later, "failed",
          wanted.target
              + (left.running > 0
                     ? " still runs " + std::to_string(left.running) + " attempt(s) after "
                           + wanted.deadline
                     : " still has " + std::to_string(left.loaded) + " model(s) loaded")
              + ": see `consort events`; drain again to keep waiting"};
}

/// Otherwise a typing error would be told as drained.
std::optional<error> check_known(const context& env, const std::string& target) {
  const auto* list = is_device(target) ? "devices" : "nodes";
  const auto answer = fetch(env, std::string("/api/v1/") + list);
  if (!answer)
    return answer.failure();
  for (const auto& one : answer->value(list, json::array()))
    if (text_at(one, is_device(target) ? "/spec/id" : "/node") == target)
      return std::nullopt;
  return error{recovery::refuse, "usage",
               "no such node or device: `" + target + "`; see `consort " + list + "`"};
}

/// The scheduler moves what is left at the deadline, and unloads what is idle; a little later
/// nothing of ours is open there.
exit_code wait_until_empty(context& env, const drain_options& wanted, duration_us span) {
  const auto end
      = std::chrono::steady_clock::now() + std::chrono::microseconds(span) + limits::drain_grace;
  std::optional<share_left> before;
  for (;;) {
    const auto left = left_on(env, wanted.target);
    if (!left)
      return complain(env, left.failure());
    if (left->loaded == 0) {
      env.out << wanted.target << ": drained\n";
      return exit_code::done;
    }
    if (before != *left)
      env.out << wanted.target << ": " << words_of(*left) << "\n" << std::flush;
    before = *left;
    const auto unloads_for = left->running > 0 ? std::chrono::seconds(0) : limits::drain_unload;
    if (std::chrono::steady_clock::now() >= end + unloads_for)
      return complain(env, still_there(wanted, *left));
    std::this_thread::sleep_for(limits::watch_interval);
  }
}

exit_code change(context& env, const drain_options& wanted, const char* verb) {
  const auto span = parse_duration(wanted.deadline);
  if (!span || *span < 0)
    return complain(env, {recovery::refuse, "usage",
                          "--deadline `" + wanted.deadline + "` is not a duration such as 2m"});
  if (const auto unknown = check_known(env, wanted.target))
    return complain(env, *unknown);
  const auto answer = set_draining(env, wanted, verb);
  if (!answer)
    return complain(env, answer.failure());
  const auto kept = tell_kept(env, *answer);
  const std::string_view word(verb);
  if (word == "drain") {
    const auto drained = wait_until_empty(env, wanted, *span);
    return drained == exit_code::done ? kept : drained;
  }
  env.out << wanted.target
          << (word == "cordon"    ? ": takes no new work\n"
              : word == "undrain" ? ": no longer drained\n"
                                  : ": takes work again\n");
  return kept;
}

void add_one(CLI::App& root, context& env, const char* verb, const char* help) {
  auto* command = root.add_subcommand(verb, help);
  auto wanted = std::make_shared<drain_options>();
  command->add_option("TARGET", wanted->target, "Node, or device as NODE/DEVICE")->required();
  command->add_option("--reason", wanted->reason, "Shown to other operators");
  if (std::string_view(verb) == "drain")
    command->add_option("--deadline", wanted->deadline,
                        "What still runs then is moved to other devices");
  command->callback([&env, wanted, verb] {
    env.action = [&env, wanted, verb] { return change(env, *wanted, verb); };
  });
}

} // namespace

void add_drain(CLI::App& root, context& env) {
  add_one(root, env, "drain",
          "Empty a node or device: no new work, the rest ends or moves, models are unloaded");
  add_one(root, env, "undrain", "End a drain; a cordon stays");
  add_one(root, env, "cordon",
          "Stop new work on a node or device; what runs and is loaded there stays");
  add_one(root, env, "uncordon", "Allow work on it again: ends a cordon and a drain");
}

} // namespace consort::cli
