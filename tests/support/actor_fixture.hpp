// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Deterministic actor tests: CAF's test scheduler, a clock that moves only when told, and probes
/// that stand for the other end of a link and keep every frame they get. An actor left alive would
/// hang the teardown, so the fixture stops all it was told of.

#include "actors/caf_compat.hpp"
#include "actors/config.hpp"
#include "actors/interfaces.hpp"
#include "actors/spawn.hpp"
#include "actors/wire.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace consort::actors {

/// Everything a probe was sent, decoded.
struct inbox {
  std::vector<messages::hello> hellos;
  std::vector<messages::hello_answer> answers;
  std::vector<core::event> events;
  std::vector<core::command> commands;
  std::vector<messages::query> queries;
  std::vector<messages::query_answer> views;
  std::vector<std::string> undecodable;

  template <class Kind>
  [[nodiscard]] std::vector<Kind> commands_of() const {
    return only<Kind>(commands);
  }
  template <class Kind>
  [[nodiscard]] std::vector<Kind> events_of() const {
    return only<Kind>(events);
  }

private:
  template <class Kind, class Variant>
  static std::vector<Kind> only(const std::vector<Variant>& all) {
    std::vector<Kind> found;
    for (const auto& one : all)
      if (const auto* kind = std::get_if<Kind>(&one))
        found.push_back(*kind);
    return found;
  }
};

class testing_config : public system_config {
public:
  testing_config() { set("scheduler.policy", caf::atom("testing")); }
};

class actor_fixture : public ::testing::Test {
protected:
  ~actor_fixture() override { stop_all(); }

  /// Ends every remembered actor; for a TearDown whose fixture owns what actors use.
  void stop_all() {
    for (const auto& actor : started_)
      stop(actor);
    started_.clear();
    run();
  }

  /// Delivers messages until none is left. Timers stay where they are.
  void run() { scheduler_.run(); }
  /// Moves both clocks, firing what is due on the way, and runs.
  void advance(duration_us span) {
    now_ += span;
    scheduler_.advance_time(std::chrono::microseconds(span));
    run();
  }
  /// The same in small steps, as a process that is never starved sees time pass.
  void advance_steadily(duration_us span) {
    constexpr duration_us step = 50'000;
    for (duration_us left = span; left > 0; left -= step)
      advance(std::min(left, step));
  }
  [[nodiscard]] std::function<time_us()> clock() {
    return [this] { return now_; };
  }
  caf::actor remember(caf::actor started) {
    started_.push_back(started);
    return started;
  }
  /// An inbox that outlives every actor of the test.
  inbox& open_inbox() { return inboxes_.emplace_back(); }
  /// An actor that files what it gets into `into`, from open_inbox().
  caf::actor probe(inbox& into) { return remember(spawn_state<probe_state>(system_, &into)); }
  template <class Body>
  void send(const caf::actor& from, const caf::actor& to, const messages::envelope& as,
            const Body& body) {
    auto encoded = to_frame(as, body);
    ASSERT_TRUE(encoded.ok()) << encoded.failure().message;
    post_as(from, to, std::move(*encoded));
    run();
  }

  std::deque<inbox> inboxes_;
  testing_config config_;
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_
      = dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  time_us now_ = 1'000'000;

private:
  class probe_state {
  public:
    static inline const char* name = "probe";
    probe_state(caf::event_based_actor*, inbox* into) : into_(into) {}
    caf::behavior make_behavior() {
      return {[this](const frame& incoming) { file(*into_, incoming); }};
    }

  private:
    inbox* into_;
  };

  template <class Message, class Into>
  static void keep(result<messages::decoded<Message>> got, Into& into, inbox& all) {
    if (got)
      into.push_back(std::move(got->body));
    else
      all.undecodable.push_back(got.failure().message);
  }
  static void file(inbox& into, const frame& incoming) {
    switch (static_cast<messages::frame_kind>(incoming.kind)) {
    case messages::frame_kind::hello:
      return keep(messages::decode_hello(incoming.bytes), into.hellos, into);
    case messages::frame_kind::hello_answer:
      return keep(messages::decode_hello_answer(incoming.bytes), into.answers, into);
    case messages::frame_kind::event:
      return keep(messages::decode_event(incoming.bytes), into.events, into);
    case messages::frame_kind::command:
      return keep(messages::decode_command(incoming.bytes), into.commands, into);
    case messages::frame_kind::query:
      return keep(messages::decode_query(incoming.bytes), into.queries, into);
    case messages::frame_kind::query_answer:
      return keep(messages::decode_query_answer(incoming.bytes), into.views, into);
    default: into.undecodable.push_back("kind " + std::to_string(incoming.kind));
    }
  }

  std::vector<caf::actor> started_;
};

} // namespace consort::actors
