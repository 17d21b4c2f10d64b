// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/runtime.hpp"

#include "node/simulated/limits.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <spdlog/spdlog.h>

#include <chrono>
#include <mutex>

namespace consort::node {

namespace asio = boost::asio;
using loaded_number = simulated_devices::session_number;

/// The devices with their clock. `devices` is touched on the strand or by who only looks, always
/// under `mutex`; it is recursive because a sink may look at its session.
struct simulated_runtime::shell : std::enable_shared_from_this<shell> {
  shell(asio::io_context& io, simulated_settings settings)
      : devices(std::move(settings)), strand(asio::make_strand(io)), timer(strand) {}

  [[nodiscard]] static time_us clock() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  /// Has `what` done on the strand, at the moment that it is then.
  template <class Action>
  void post(Action what) {
    asio::post(strand, [self = shared_from_this(), what = std::move(what)]() mutable {
      const std::scoped_lock lock(self->mutex);
      if (self->stopped)
        return;
      self->devices.run_until(clock());
      what(self->devices);
      self->arm();
    });
  }

  void arm() {
    const auto due = devices.next();
    if (!due || *due == armed)
      return;
    armed = *due;
    timer.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(*due)));
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& failed) {
      if (!failed)
        self->wake();
    });
  }

  void wake() {
    const std::scoped_lock lock(mutex);
    armed = -1;
    if (stopped)
      return;
    devices.run_until(clock());
    arm();
  }

  simulated_devices devices;
  asio::strand<asio::io_context::executor_type> strand;
  asio::steady_timer timer;
  std::recursive_mutex mutex;
  time_us armed = -1;
  bool stopped = false;
};

// --- sessions ---

class simulated_runtime::session final : public runtime_session {
public:
  session(std::shared_ptr<shell> of, loaded_number which, runtime_capabilities can)
      : shell_(std::move(of)), which_(which), can_(can) {}
  ~session() override {
    shell_->post([which = which_](simulated_devices& devices) { devices.close(which); });
  }

  void submit(const attempt_id& attempt, attempt_body body,
              std::shared_ptr<attempt_sink> sink) override {
    shell_->post([which = which_, attempt, body = std::move(body), sink = std::move(sink)](
                     simulated_devices& devices) { devices.submit(which, attempt, body, sink); });
  }
  void cancel(const attempt_id& attempt) override {
    shell_->post(
        [which = which_, attempt](simulated_devices& devices) { devices.cancel(which, attempt); });
  }
  [[nodiscard]] session_stats stats() const override {
    const std::scoped_lock lock(shell_->mutex);
    return shell_->devices.stats(which_);
  }
  [[nodiscard]] runtime_capabilities capabilities() const override { return can_; }

private:
  const std::shared_ptr<shell> shell_;
  const loaded_number which_;
  const runtime_capabilities can_;
};

// --- the runtime ---

std::shared_ptr<simulated_runtime> simulated_runtime::make(asio::io_context& io,
                                                           simulated_settings settings) {
  return std::shared_ptr<simulated_runtime>(new simulated_runtime(io, std::move(settings)));
}

simulated_runtime::simulated_runtime(asio::io_context& io, simulated_settings settings)
    : shell_(std::make_shared<shell>(io, std::move(settings))) {}

simulated_runtime::~simulated_runtime() {
  const std::scoped_lock lock(shell_->mutex);
  shell_->stopped = true;
  asio::post(shell_->strand, [shell = shell_] { shell->timer.cancel(); });
}

void simulated_runtime::open(const session_request& wanted,
                             std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
                             std::function<void(error)> died) {
  spdlog::info("{} loads {}, both simulated", wanted.device.id.value, wanted.model.value);
  shell_->post([shell = shell_, wanted, opened = std::move(opened),
                died = std::move(died)](simulated_devices& devices) {
    const auto can = wanted.device.capability.runtime;
    devices.open(
        wanted,
        [shell, can, opened](result<loaded_number> which) {
          if (!which)
            return opened(which.failure());
          opened(std::shared_ptr<runtime_session>(std::make_shared<session>(shell, *which, can)));
        },
        died);
  });
}

void simulated_runtime::abandon(instance_id instance) {
  shell_->post([instance](simulated_devices& devices) { devices.abandon(instance); });
}

std::vector<device_spec> simulated_runtime::specs() const {
  const std::scoped_lock lock(shell_->mutex);
  return shell_->devices.specs();
}

std::vector<build_profile> simulated_runtime::toolchains() const {
  const std::scoped_lock lock(shell_->mutex);
  return shell_->devices.toolchains();
}

std::map<std::string, device_reading> simulated_runtime::read() {
  const std::scoped_lock lock(shell_->mutex);
  // Devices that rest draw power too, though nothing happens on them. What is due is the strand's.
  const auto now = shell::clock();
  if (const auto due = shell_->devices.next(); !due || *due > now)
    shell_->devices.run_until(now);
  return shell_->devices.read();
}

void simulated_runtime::trouble(simulated_troubles wanted) {
  shell_->post(
      [wanted = std::move(wanted)](simulated_devices& devices) { devices.trouble(wanted); });
}

/// A build; destroying it ends it.
class simulated_runtime::running_build final : public running_compile {
public:
  running_build(std::shared_ptr<shell> of, std::shared_ptr<std::uint64_t> which)
      : shell_(std::move(of)), which_(std::move(which)) {}
  ~running_build() override {
    shell_->post([which = which_](simulated_devices& devices) { devices.cancel_build(*which); });
  }

private:
  const std::shared_ptr<shell> shell_;
  const std::shared_ptr<std::uint64_t> which_; ///< 0 until it began, on the strand.
};

std::unique_ptr<running_compile>
simulated_runtime::build(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                         simulated_devices::build_finished finished) {
  const auto which = std::make_shared<std::uint64_t>(0);
  shell_->post([which, wanted, progress = std::move(progress),
                finished = std::move(finished)](simulated_devices& devices) {
    *which = devices.build(wanted, progress, finished);
  });
  return std::make_unique<running_build>(shell_, which);
}

// --- the plugin ---

namespace {

class simulated_plugin final : public plugin {
public:
  explicit simulated_plugin(std::shared_ptr<simulated_runtime> devices)
      : devices_(std::move(devices)) {
    metadata_.name = "simulated";
    metadata_.version = "1";
    metadata_.vendor = "simulated";
    metadata_.origin = "built-in";
    metadata_.telemetry = true;
    metadata_.telemetry_every_us = limits::simulated_telemetry_us;
  }

  [[nodiscard]] const plugin_metadata& metadata() const override { return metadata_; }
  [[nodiscard]] result<done> available() override { return done{}; }
  [[nodiscard]] result<std::vector<device_spec>> probe() override { return devices_->specs(); }
  [[nodiscard]] result<std::map<std::string, device_reading>> read() override {
    return devices_->read();
  }
  [[nodiscard]] std::vector<build_profile> toolchains() override { return devices_->toolchains(); }
  std::unique_ptr<running_compile>
  compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
          std::function<void(result<compile_outcome>)> finished) override {
    return devices_->build(wanted, std::move(progress), std::move(finished));
  }
  [[nodiscard]] runtime* device_runtime() override { return devices_.get(); }

private:
  const std::shared_ptr<simulated_runtime> devices_;
  plugin_metadata metadata_;
};

} // namespace

std::unique_ptr<plugin> make_simulated_plugin(std::shared_ptr<simulated_runtime> devices) {
  return std::make_unique<simulated_plugin>(std::move(devices));
}

} // namespace consort::node
