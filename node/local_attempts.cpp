// SPDX-License-Identifier: Apache-2.0
#include "node/local_attempts.hpp"

#include "node/admission_limits.hpp"
#include "node/energy_book.hpp"

#include <atomic>

namespace consort::node {

/// What is attached and what runs. Locked last: nothing is called out of here while it is held.
struct local_attempt_service::registry {
  struct attached {
    std::shared_ptr<runtime_session> session;
    device_id device;
    std::vector<device_id> meters;
  };
  struct started {
    std::weak_ptr<runtime_session> session;
    device_id device;
  };

  [[nodiscard]] result<std::shared_ptr<runtime_session>> begin(const ticket& permission);
  /// Returns: what it drew, if that is known.
  std::optional<std::uint64_t> end(const attempt_id& attempt) {
    const std::lock_guard lock(mutex);
    running.erase(attempt);
    return energy.end(attempt, steady());
  }

  explicit registry(clock reads) : steady(std::move(reads)) {}
  const clock steady; ///< Never the scheduler's: that one jumps when an agent joins another.
  std::mutex mutex;
  energy_book energy;
  std::map<instance_id, attached> instances;
  std::map<attempt_id, started> running;
};

result<std::shared_ptr<runtime_session>>
local_attempt_service::registry::begin(const ticket& permission) {
  const std::lock_guard lock(mutex);
  const auto at = instances.find(permission.instance);
  if (at == instances.end())
    return error{recovery::retry_elsewhere, "instance_unknown",
                 "instance " + std::to_string(permission.instance.value) + " is not loaded on "
                     + permission.node.value};
  if (at->second.device != permission.device)
    return error{recovery::retry_elsewhere, "ticket_wrong_device",
                 "instance " + std::to_string(permission.instance.value) + " runs on "
                     + at->second.device.value + ", not on " + permission.device.value};
  if (running.contains(permission.attempt))
    return error{recovery::refuse, "ticket_used", "the attempt is running already"};
  if (running.size() >= limits::attempts_running_max)
    return error{recovery::retry_later, "node_full",
                 permission.node.value + " runs as many attempts as it may"};
  running[permission.attempt] = {at->second.session, at->second.device};
  energy.begin(permission.attempt, at->second.meters, steady());
  return at->second.session;
}

/// Stands between a session and the caller's sink, so that the sink can be let go at any moment.
/// The lock is held during a delivery, which makes close() wait for one on another thread; it is
/// recursive because a sink may destroy its own stream.
class local_attempt_service::relay final : public attempt_sink {
public:
  relay(attempt_id attempt, std::shared_ptr<attempt_sink> sink, std::weak_ptr<registry> owner)
      : attempt_(std::move(attempt)), sink_(std::move(sink)), owner_(std::move(owner)) {}

  void on_event(attempt_event happened) override {
    const std::lock_guard lock(mutex_);
    if (ended_)
      return;
    ended_ = std::holds_alternative<attempt_completed>(happened)
             || std::holds_alternative<attempt_aborted>(happened);
    // Unlisted first: who sees the end must not find the attempt among the running ones.
    if (ended_)
      if (const auto owner = owner_.lock())
        tell_energy(happened, owner->end(attempt_));
    const auto sink = ended_ ? std::move(sink_) : sink_;
    if (sink)
      sink->on_event(std::move(happened));
  }

  void close() {
    const std::lock_guard lock(mutex_);
    sink_.reset();
  }

  [[nodiscard]] bool ended() const { return ended_; }

private:
  static void tell_energy(attempt_event& end, std::optional<std::uint64_t> energy_mj) {
    if (auto* completed = std::get_if<attempt_completed>(&end))
      completed->energy_mj = energy_mj;
    else if (auto* aborted = std::get_if<attempt_aborted>(&end))
      aborted->energy_mj = energy_mj;
  }

  const attempt_id attempt_;
  std::recursive_mutex mutex_;
  std::shared_ptr<attempt_sink> sink_;
  const std::weak_ptr<registry> owner_;
  std::atomic<bool> ended_ = false;
};

class local_attempt_service::stream final : public attempt_stream {
public:
  stream(attempt_id attempt, std::weak_ptr<runtime_session> session, std::shared_ptr<relay> events)
      : attempt_(std::move(attempt)), session_(std::move(session)), events_(std::move(events)) {}

  ~stream() override {
    events_->close();
    cancel();
  }

  void cancel() override {
    if (events_->ended())
      return;
    if (const auto session = session_.lock())
      session->cancel(attempt_);
  }

private:
  const attempt_id attempt_;
  const std::weak_ptr<runtime_session> session_;
  const std::shared_ptr<relay> events_;
};

local_attempt_service::local_attempt_service(ticket_gate& gate, clock now, clock steady)
    : gate_(gate), now_(std::move(now)), registry_(std::make_shared<registry>(std::move(steady))) {}

local_attempt_service::~local_attempt_service() = default;

void local_attempt_service::attach(instance_id instance, std::shared_ptr<runtime_session> session,
                                   device_id device, std::vector<device_id> meters) {
  registry::attached entry{std::move(session), std::move(device), std::move(meters)};
  {
    const std::lock_guard lock(registry_->mutex);
    std::swap(registry_->instances[instance], entry);
  }
  // What was replaced is destroyed here, unlocked: it may abort attempts, which comes back to us.
}

void local_attempt_service::detach(instance_id instance) {
  registry::attached entry;
  {
    const std::lock_guard lock(registry_->mutex);
    const auto at = registry_->instances.find(instance);
    if (at == registry_->instances.end())
      return;
    entry = std::move(at->second);
    registry_->instances.erase(at);
  }
}

std::vector<attempt_id> local_attempt_service::running(const device_id& device) const {
  std::vector<attempt_id> ids;
  const std::lock_guard lock(registry_->mutex);
  for (const auto& [attempt, entry] : registry_->running)
    if (entry.device == device)
      ids.push_back(attempt);
  return ids;
}

void local_attempt_service::charge(const device_spec& device, device_reading& reading) {
  if (!reading.energy_mj || !is_meter(device))
    return;
  const std::lock_guard lock(registry_->mutex);
  const auto& split = registry_->energy.read(device.id, device.spec.idle_mw, registry_->steady(),
                                             *reading.energy_mj);
  reading.charged_mj = split.charged_mj();
  reading.idle_mj = split.idle_mj();
}

void local_attempt_service::skip_charge(const device_id& device) {
  const std::lock_guard lock(registry_->mutex);
  registry_->energy.skip(device, registry_->steady());
}

void local_attempt_service::forget_charges(const device_id& device) {
  const std::lock_guard lock(registry_->mutex);
  registry_->energy.forget(device);
}

void local_attempt_service::revoke(const attempt_id& attempt) {
  std::shared_ptr<runtime_session> session;
  {
    const std::lock_guard lock(registry_->mutex);
    if (const auto at = registry_->running.find(attempt); at != registry_->running.end())
      session = at->second.session.lock();
  }
  if (session)
    session->cancel(attempt);
}

std::unique_ptr<attempt_stream> local_attempt_service::open(const ticket& permission,
                                                            attempt_body body,
                                                            std::shared_ptr<attempt_sink> sink) {
  auto admitted = gate_.admit(permission, now_());
  auto begun = admitted ? registry_->begin(permission)
                        : result<std::shared_ptr<runtime_session>>(admitted.failure());
  if (!begun) {
    // No owner: a refused repetition must not unlist the attempt that it repeats.
    auto refused
        = std::make_shared<relay>(permission.attempt, std::move(sink), std::weak_ptr<registry>());
    refused->on_event(attempt_aborted{begun.failure(), false, 0, 0, 0});
    return std::make_unique<stream>(permission.attempt, std::weak_ptr<runtime_session>(),
                                    std::move(refused));
  }
  auto events = std::make_shared<relay>(permission.attempt, std::move(sink), registry_);
  const auto session = std::move(begun).value();
  session->submit(permission.attempt, std::move(body), events);
  return std::make_unique<stream>(permission.attempt, session, std::move(events));
}

} // namespace consort::node
