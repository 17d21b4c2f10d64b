// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Drives a core in virtual time and holds what it sent until somebody expects it. An unexpected
/// command fails the test: whoever expects nothing more calls expect_empty(), and the destructor
/// does too. Invariants are checked after every step. Builders make small clusters readable.

#include "scheduler/core.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace consort::core::testing {

inline constexpr duration_us second = limits::second_us;

inline build_profile refnpu_profile() {
  build_profile made;
  made.name = "refnpu";
  made.target = "refnpu-1";
  made.compiler = "refnpu-cc";
  made.compiler_version = "1.0";
  made.dtype = "q8_0";
  return made;
}

inline device_spec cpu_spec(const std::string& node = "local", int number = 0) {
  device_spec made;
  made.id = device_id{node + "/cpu" + std::to_string(number)};
  made.node = node_id{node};
  made.type = resource_type::cpu;
  made.vendor = "generic";
  made.model = "cpu";
  made.memory_bytes = std::uint64_t{8} << 30U;
  made.capability.max_sequences = 4;
  made.capability.formats = {"gguf"};
  made.capability.runtime.resume = resume_support::tokens;
  made.spec.prefill_tokens_per_s = 2'000;
  made.spec.decode_tokens_per_s = 100;
  made.spec.load_us = second / 10;
  return made;
}

inline device_spec npu_spec(const std::string& node = "local", int number = 0) {
  auto made = cpu_spec(node, number);
  made.id = device_id{node + "/npu" + std::to_string(number)};
  made.type = resource_type::npu;
  made.vendor = "reference";
  made.model = "refnpu-1";
  made.capability.formats.clear();
  made.capability.build_profiles = {{refnpu_profile(), {}}};
  made.spec.prefill_tokens_per_s = 20'000;
  made.spec.decode_tokens_per_s = 1'000;
  made.spec.decode_batch_gain_pm = 100;
  return made;
}

inline model_spec story_spec(const std::string& name = "storyteller") {
  model_spec made;
  made.name = model_name{name};
  model_variant variant;
  variant.format = "gguf";
  variant.source = "models/" + name + ".gguf";
  variant.content = digest{std::string(63, 'a') + name.substr(0, 1)};
  variant.weight_bytes = 10 << 20U;
  variant.kv_bytes_per_token = 1024;
  variant.context_tokens = 512;
  made.variants = {variant};
  return made;
}

/// The story, of which a node has the weights only once it fetched them.
inline model_spec hub_spec() {
  auto made = story_spec();
  made.variants[0].source = "hf:org/repo@0123456789abcdef0123456789abcdef01234567/tiny.gguf";
  return made;
}

/// What an engine of the story's weights, built for that profile, goes by.
inline artifact_key engine_key(const build_profile& profile = refnpu_profile()) {
  return {artifact_kind::engine_weights, story_spec().variants[0].content.value, profile};
}

/// An artifact in the store of that node, whose digest is 64 times the letter.
inline artifact_record artifact_on(const std::string& node, const artifact_key& key,
                                   char letter = 'c') {
  artifact_record made;
  made.key = key;
  made.content = digest{std::string(64, letter)};
  made.node = node_id{node};
  made.size_bytes = 1 << 20U;
  return made;
}

class core_fixture {
public:
  explicit core_fixture(core_config config = quiet()) : core_(std::move(config)) {}
  ~core_fixture() {
    if (!::testing::Test::HasFailure())
      expect_empty();
  }
  core_fixture(const core_fixture&) = delete;
  core_fixture& operator=(const core_fixture&) = delete;

  /// No exploration, so that every choice follows from the figures.
  static core_config quiet() {
    core_config config;
    config.explore_pm = 0;
    return config;
  }

  /// One event now. Notes are kept apart from commands.
  void feed(const event& happened) {
    std::vector<command> out;
    core_.step(happened, now_, out);
    sort_out(out);
    const auto bad = core_.check_invariants();
    ASSERT_FALSE(bad) << *bad;
  }

  /// Lets time pass, with ticks where the core asked for them and renewals for the nodes named.
  void pass_time(duration_us span) {
    const auto until = now_ + span;
    for (auto next = core_.next_deadline(); next && *next <= until; next = core_.next_deadline()) {
      now_ = std::max(now_, *next);
      feed(tick{});
      if (::testing::Test::HasFatalFailure())
        return;
    }
    now_ = until;
    feed(tick{});
  }
  /// Time passes and nobody calls the core: its process stood still.
  void sleep(duration_us span) {
    now_ += span;
    feed(tick{});
  }
  /// As pass_time(), but keeps the node's lease alive.
  void pass_time_renewing(duration_us span, const std::vector<std::string>& nodes = {"local"}) {
    for (duration_us spent = 0; spent < span; spent += second) {
      pass_time(std::min(second, span - spent));
      for (const auto& node : nodes)
        renew(node);
    }
  }

  void join(const std::string& node, std::uint64_t life = 1,
            std::vector<build_profile> toolchains = {}) {
    lives_[node] = incarnation{life};
    feed(node_joined{node_id{node}, incarnation{life}, node + ":1", std::move(toolchains), {}});
    expect<grant_lease>();
  }
  void renew(const std::string& node) {
    feed(lease_renewed{node_id{node}, life_of(node)});
    EXPECT_EQ(take_all<grant_lease>().size(), 1U);
  }
  void advertise(const device_spec& spec) {
    feed(device_advertised{spec, life_of(spec.node.value)});
  }
  void declare(const model_spec& spec) { feed(model_declared{spec}); }

  /// The example cluster: one CPU and two reference NPUs on one node that has the compiler.
  void example() {
    join("local", 1, {refnpu_profile()});
    advertise(cpu_spec());
    advertise(npu_spec("local", 0));
    advertise(npu_spec("local", 1));
    declare(story_spec());
  }

  /// Nodes `a` and `b` with a CPU each, both loaded; nothing unexpected is left.
  void two_ready_nodes() {
    auto model = story_spec();
    model.replicas_min = 2;
    declare(model);
    for (const char* node : {"a", "b"}) {
      join(node, node[0] == 'a' ? 11 : 22);
      advertise(cpu_spec(node));
      finish_load();
    }
  }

  /// A stream: what its client saw is not said twice.
  request_meta request(const std::string& selector = "auto") {
    request_meta meta;
    meta.streaming = true;
    meta.id = {gateway_id{7}, ++sequence_};
    meta.external_id = "r" + std::to_string(sequence_);
    meta.model = model_name{"storyteller"};
    meta.selector = selector;
    meta.prompt_tokens = 100;
    meta.max_tokens = 50;
    return meta;
  }
  request_id submit(const request_meta& meta) {
    feed(request_submitted{meta});
    return meta.id;
  }
  request_id submit(const std::string& selector = "auto") { return submit(request(selector)); }

  /// Answers reserve_allocation and load_replica of the next load. Returns: the load command.
  load_replica finish_load(std::uint64_t sequences = 4, std::uint64_t kv_tokens = 100'000) {
    grant_next_allocation();
    const auto load = expect<load_replica>();
    loaded(load, sequences, kv_tokens);
    return load;
  }
  void grant_next_allocation() {
    const auto asked = expect<reserve_allocation>();
    feed(reserved(asked));
  }
  allocation_reserved reserved(const reserve_allocation& asked) {
    return {asked.grant.id, asked.node, life_of(asked.node.value), asked.grant.fence};
  }
  void loaded(const load_replica& load, std::uint64_t sequences = 4,
              std::uint64_t kv_tokens = 100'000) {
    capacity_vector capacity;
    capacity.sequences.value = sequences;
    capacity.kv_tokens.value = kv_tokens;
    runtime_capabilities runtime;
    runtime.resume = resume_support::tokens;
    feed(replica_loaded{load.instance, life_of(load.node.value), {capacity}, runtime, second / 10});
  }
  void compiled(const start_compile& order, const std::string& content = std::string(64, 'c')) {
    artifact_record record;
    record.key = order.key;
    record.content = digest{content};
    record.node = order.node;
    record.size_bytes = 1 << 20U;
    record.build_us = 5 * second;
    feed(compile_finished{order.compile, life_of(order.node.value), record});
  }
  void start(const grant_ticket& granted) { feed(attempt_started{granted.granted.attempt}); }
  void progress(const grant_ticket& granted, std::uint32_t tokens) {
    feed(attempt_progressed{granted.granted.attempt, tokens});
  }
  void finish(const grant_ticket& granted) {
    attempt_measurement measured;
    measured.usage = {100, 50, 0};
    measured.first_token_us = 5'000;
    measured.total_us = 55'000;
    measured.batch = 1;
    feed(attempt_finished{granted.granted.attempt, measured});
  }
  void fail(const grant_ticket& granted, recovery action = recovery::retry_elsewhere,
            std::uint32_t emitted = 0, bool fault = true) {
    feed(attempt_failed{granted.granted.attempt, {action, "engine", "it broke"}, emitted, fault});
  }

  /// Takes the oldest unexpected command, which must be of this kind.
  template <class Command>
  Command expect() {
    if (sent_.empty()) {
      ADD_FAILURE() << "expected a command, nothing was sent";
      return {};
    }
    const auto first = sent_.front();
    sent_.pop_front();
    if (const auto* wanted = std::get_if<Command>(&first))
      return *wanted;
    ADD_FAILURE() << "expected another command than number " << first.index();
    return {};
  }
  /// Takes every unexpected command of this kind, in order, and leaves the rest.
  template <class Command>
  std::vector<Command> take_all() {
    std::vector<Command> taken;
    std::deque<command> rest;
    for (const auto& one : sent_)
      if (const auto* wanted = std::get_if<Command>(&one))
        taken.push_back(*wanted);
      else
        rest.push_back(one);
    sent_ = std::move(rest);
    return taken;
  }
  void expect_empty() {
    EXPECT_TRUE(sent_.empty()) << sent_.size() << " unexpected commands; the first is number "
                               << sent_.front().index();
    sent_.clear();
  }
  void drop_all() { sent_.clear(); }
  [[nodiscard]] bool noted(const std::string& text) const { return noted_times(text) > 0; }
  [[nodiscard]] std::size_t noted_times(const std::string& text) const {
    return static_cast<std::size_t>(
        std::count_if(notes_.begin(), notes_.end(), [&](const note& one) {
          return (one.subject + ": " + one.text).find(text) != std::string::npos;
        }));
  }

  [[nodiscard]] core& tested() { return core_; }
  [[nodiscard]] time_us now() const { return now_; }
  [[nodiscard]] snapshot view() const { return core_.view(now_); }
  /// How many replicas are ready.
  [[nodiscard]] std::uint32_t ready_replicas() const {
    std::uint32_t count = 0;
    for (const auto& replica : view().replicas)
      count += replica.state == "ready" ? 1 : 0;
    return count;
  }
  [[nodiscard]] incarnation life_of(const std::string& node) const { return lives_.at(node); }
  void set_life(const std::string& node, std::uint64_t life) { lives_[node] = incarnation{life}; }

private:
  void sort_out(std::vector<command>& out) {
    for (auto& one : out)
      if (const auto* said = std::get_if<note>(&one))
        notes_.push_back(*said);
      else
        sent_.push_back(std::move(one));
  }

  core core_;
  time_us now_ = 1;
  std::uint64_t sequence_ = 0;
  std::map<std::string, incarnation> lives_;
  std::deque<command> sent_;
  std::vector<note> notes_;
};

} // namespace consort::core::testing
