// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A scheduler and a node for gateway tests, in one process and without any scheduling: hooks
/// decide what is answered, everything said to them is recorded, and waits end as soon as what they
/// wait for has happened (or fail after `patience`). Thread-safe; hooks run on the caller's thread,
/// are set before the server starts, and may call back at once.

#include "gateway/scheduler_port.hpp"
#include "messages/attempt_service.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace consort::testing {

inline constexpr std::chrono::seconds patience{20};

/// A ticket as the core would grant it, for `local/cpu0` unless said otherwise.
inline core::grant_ticket make_grant(const request_meta& meta, std::uint32_t attempt = 1,
                                     const std::string& device = "local/cpu0") {
  core::grant_ticket out;
  out.granted.attempt = {meta.id, attempt};
  out.granted.device = device_id(device);
  out.granted.node = node_id("local");
  out.granted.model = meta.model;
  return out;
}

class fake_scheduler_port final : public gateway::scheduler_port {
public:
  using listener_ptr = std::shared_ptr<gateway::request_listener>;

  /// Default: one ticket at once.
  std::function<void(const request_meta&, const listener_ptr&)> on_submit
      = [](const request_meta& meta, const listener_ptr& listener) {
          listener->on_ticket(make_grant(meta));
        };
  /// Runs after a report was recorded, with the listener of its request.
  std::function<void(const gateway::gateway_report&, const listener_ptr&)> on_report;
  std::function<result<gateway::admin_taken>(const gateway::admin_request&)> on_admin
      = [](const gateway::admin_request&) { return gateway::admin_taken{}; };
  core::snapshot seen;
  core::requests_wish listed;               ///< The latest.
  std::optional<core::view_cursor> further; ///< Where the list of requests goes on.
  std::optional<core::explanation> explained;
  error unexplained{recovery::refuse, "model_not_found", "no model of that name"};
  std::optional<request_meta> dry_run; ///< The last that was only to be explained.
  core::plan_wish planned;             ///< The latest.
  bool silent = false;                 ///< Admin calls are never answered.
  result<gateway::reload_reports> reloaded = gateway::reload_reports{};
  node_id reload_node; ///< Of the latest.
  duration_us reload_timeout_us = 0;
  result<gateway::plugins_reports> plugins = gateway::plugins_reports{};
  node_id plugins_node; ///< Of the latest.
  duration_us plugins_timeout_us = 0;

  [[nodiscard]] gateway_id id() const override { return gateway_id(0xabc); }

  void submit(request_meta meta, listener_ptr listener) override {
    {
      const std::lock_guard lock(mutex_);
      submitted_.push_back(meta);
      listeners_.push_back(listener);
      changed_.notify_all();
    }
    on_submit(meta, listener);
  }

  void report(gateway::gateway_report happened) override {
    listener_ptr listener;
    {
      const std::lock_guard lock(mutex_);
      reports_.push_back(happened);
      if (!listeners_.empty())
        listener = listeners_.back();
      changed_.notify_all();
    }
    if (on_report)
      on_report(happened, listener);
  }

  void admin(gateway::admin_request wanted,
             std::function<void(result<gateway::admin_taken>)> answer) override {
    {
      const std::lock_guard lock(mutex_);
      admin_.push_back(wanted);
    }
    if (!silent)
      answer(on_admin(wanted));
  }

  void snapshot(std::function<void(result<core::snapshot>)> answer) override {
    if (!silent)
      answer(seen);
  }

  void requests(core::requests_wish wish,
                std::function<void(result<core::snapshot_page>)> answer) override {
    listed = std::move(wish);
    if (!silent)
      answer(core::snapshot_page{seen, further});
  }

  void explain(std::string external_id,
               std::function<void(result<core::explanation>)> answer) override {
    if (explained && explained->request.external_id == external_id)
      answer(*explained);
    else
      answer(error{recovery::refuse, "unknown_request", "no request `" + external_id + "`"});
  }

  void explain(request_meta meta, std::function<void(result<core::explanation>)> answer) override {
    dry_run = std::move(meta);
    if (explained)
      answer(*explained);
    else
      answer(unexplained);
  }

  void plan(core::plan_wish wish, std::function<void(result<core::explanation>)> answer) override {
    planned = std::move(wish);
    answer(explained.value_or(core::explanation{}));
  }

  void reload_plugins(node_id node, duration_us timeout_us,
                      std::function<void(result<gateway::reload_reports>)> answer) override {
    reload_node = std::move(node);
    reload_timeout_us = timeout_us;
    if (!silent)
      answer(reloaded);
  }

  void list_plugins(node_id node, duration_us timeout_us,
                    std::function<void(result<gateway::plugins_reports>)> answer) override {
    plugins_node = std::move(node);
    plugins_timeout_us = timeout_us;
    if (!silent)
      answer(plugins);
  }

  void subscribe(std::function<void(const core::command&)> listener) override {
    const std::lock_guard lock(mutex_);
    subscriber_ = std::move(listener);
  }
  void publish(const core::command& happened) {
    std::function<void(const core::command&)> to;
    {
      const std::lock_guard lock(mutex_);
      to = subscriber_;
    }
    to(happened);
  }

  /// The request submitted as number `index`, waiting for it.
  request_meta submitted(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return submitted_.size() > index; });
    return submitted_.at(index);
  }
  listener_ptr listener(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return listeners_.size() > index; });
    return listeners_.at(index);
  }
  [[nodiscard]] std::size_t submitted_count() {
    const std::lock_guard lock(mutex_);
    return submitted_.size();
  }

  /// The first report of that kind, waiting for it; nullopt when it does not come.
  template <class Report>
  std::optional<Report> wait_report() {
    std::unique_lock lock(mutex_);
    std::optional<Report> found;
    changed_.wait_for(lock, patience, [&] {
      for (const auto& one : reports_)
        if (const auto* same = std::get_if<Report>(&one); same != nullptr && !found)
          found = *same;
      return found.has_value();
    });
    return found;
  }
  template <class Report>
  std::vector<Report> reports() {
    const std::lock_guard lock(mutex_);
    std::vector<Report> out;
    for (const auto& one : reports_)
      if (const auto* same = std::get_if<Report>(&one); same != nullptr)
        out.push_back(*same);
    return out;
  }
  std::vector<gateway::admin_request> admin_requests() {
    const std::lock_guard lock(mutex_);
    return admin_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<request_meta> submitted_;
  std::vector<listener_ptr> listeners_;
  std::vector<gateway::gateway_report> reports_;
  std::vector<gateway::admin_request> admin_;
  std::function<void(const core::command&)> subscriber_;
};

/// A node's data port. Default: answers `Hello wörld!` in three events and finishes.
class fake_attempt_service final : public attempt_service {
public:
  struct opened_attempt {
    ticket permission;
    attempt_body body;
    std::shared_ptr<attempt_sink> sink;
  };

  std::function<void(const opened_attempt&)> on_open
      = [](const opened_attempt& attempt) { answer_hello(attempt); };

  static void answer_hello(const opened_attempt& attempt,
                           std::optional<std::uint64_t> energy_mj = {},
                           std::optional<std::uint64_t> cost_micros = {}) {
    attempt.sink->on_event(attempt_opened{7, 2});
    attempt.sink->on_event(attempt_tokens{0, "Hello", {1}, ""});
    attempt.sink->on_event(attempt_tokens{0, " w\xC3\xB6rld", {2}, ""});
    attempt.sink->on_event(attempt_tokens{0, "!", {3}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "stop"});
    attempt.sink->on_event(attempt_completed{{7, 3, 2}, 1, 0, energy_mj, cost_micros});
  }

  std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                       std::shared_ptr<attempt_sink> sink) override {
    const opened_attempt attempt{permission, std::move(body), std::move(sink)};
    {
      const std::lock_guard lock(mutex_);
      opened_.push_back(attempt);
      changed_.notify_all();
    }
    on_open(attempt);
    return std::make_unique<stream>(*this);
  }

  /// The attempt opened as number `index`, waiting for it.
  opened_attempt opened(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return opened_.size() > index; });
    return opened_.at(index);
  }
  /// Waits until that many streams were destroyed. Returns: whether they were.
  bool wait_closed(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return closed_ >= count; });
  }

private:
  class stream final : public attempt_stream {
  public:
    explicit stream(fake_attempt_service& owner) : owner_(owner) {}
    ~stream() override {
      const std::lock_guard lock(owner_.mutex_);
      ++owner_.closed_;
      owner_.changed_.notify_all();
    }
    void cancel() override {}

  private:
    fake_attempt_service& owner_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<opened_attempt> opened_;
  std::size_t closed_ = 0;
};

} // namespace consort::testing
