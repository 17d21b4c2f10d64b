// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A plugin in memory whose runtime and compiler do what a test says, when it says so. Devices are
/// marked simulated.

#include "node/plugin.hpp"

namespace consort::node {

class fake_session final : public runtime_session {
public:
  void submit(const attempt_id& attempt, attempt_body,
              std::shared_ptr<attempt_sink> sink) override {
    submitted.push_back(attempt);
    sinks.push_back(std::move(sink));
  }
  void cancel(const attempt_id& attempt) override { cancelled.push_back(attempt); }
  [[nodiscard]] session_stats stats() const override {
    session_stats now;
    now.capacity.sequences.value = 4;
    now.tokens_generated_total = tokens;
    now.sequences_running = running;
    now.stage_given_up = !stage_missed.empty();
    now.stage_missed = stage_missed;
    return now;
  }
  [[nodiscard]] runtime_capabilities capabilities() const override { return {}; }

  std::uint64_t tokens = 0;  ///< What its counter says.
  std::uint32_t running = 0; ///< The same, of sequences.
  std::string stage_missed;  ///< Why one of its stages is given up; empty = none is.
  std::vector<attempt_id> submitted;
  std::vector<attempt_id> cancelled;
  std::vector<std::shared_ptr<attempt_sink>> sinks;
};

class fake_runtime final : public runtime {
public:
  struct opening {
    session_request wanted;
    std::function<void(result<std::shared_ptr<runtime_session>>)> opened;
    std::function<void(error)> died;
  };
  void open(const session_request& wanted,
            std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
            std::function<void(error)> died) override {
    openings.push_back({wanted, std::move(opened), std::move(died)});
  }
  [[nodiscard]] std::uint64_t cache_bytes_max() const override { return cache_bytes; }
  std::vector<opening> openings;
  std::uint64_t cache_bytes = 0; ///< Above 0 its servers have a folder for what they compile.
};

/// What a test holds on to while the agent owns the plugin.
struct fake_controls {
  struct compiling {
    compile_request wanted;
    std::function<void(std::uint32_t)> progress;
    std::function<void(result<compile_outcome>)> finished;
  };
  fake_runtime runtime;
  std::vector<compiling> compiles;
  int killed = 0; ///< Compiles destroyed before they finished or after.
  device_reading reading;
  bool reading_fails = false;
  bool probe_fails = false;
  int probes = 0;
  int reads = 0;
  duration_us telemetry_every_us = limits::telemetry_every_us; ///< To be set before the plugin is.
  bool telemetry = false;                                      ///< Likewise.
};

class fake_plugin final : public plugin {
public:
  fake_plugin(std::shared_ptr<fake_controls> controls, device_spec device, build_profile profile)
      : controls_(std::move(controls)), device_(std::move(device)), profile_(std::move(profile)) {
    metadata_.name = "fake";
    metadata_.type = device_.type;
    metadata_.origin = "test";
    metadata_.telemetry_every_us = controls_->telemetry_every_us;
    metadata_.telemetry = controls_->telemetry;
    device_.plugin = metadata_.name;
  }
  [[nodiscard]] const plugin_metadata& metadata() const override { return metadata_; }
  [[nodiscard]] result<done> available() override { return done{}; }
  [[nodiscard]] result<std::vector<device_spec>> probe() override {
    ++controls_->probes;
    if (controls_->probe_fails)
      return error{recovery::retry_later, "tool_timeout", "fake-smi ran out of time"};
    return std::vector{device_};
  }
  [[nodiscard]] result<std::map<std::string, device_reading>> read() override {
    ++controls_->reads;
    if (controls_->reading_fails)
      return error{recovery::retry_later, "no_reading", "the tool hung"};
    return std::map<std::string, device_reading>{{device_.uuid, controls_->reading}};
  }
  [[nodiscard]] std::vector<build_profile> toolchains() override { return {profile_}; }
  std::unique_ptr<running_compile>
  compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
          std::function<void(result<compile_outcome>)> finished) override {
    controls_->compiles.push_back({wanted, std::move(progress), std::move(finished)});
    return std::make_unique<tool>(controls_);
  }
  [[nodiscard]] runtime* device_runtime() override { return &controls_->runtime; }

private:
  struct tool final : running_compile {
    explicit tool(std::shared_ptr<fake_controls> of) : controls(std::move(of)) {}
    ~tool() override { ++controls->killed; }
    std::shared_ptr<fake_controls> controls;
  };

  std::shared_ptr<fake_controls> controls_;
  device_spec device_;
  build_profile profile_;
  plugin_metadata metadata_;
};

} // namespace consort::node
