// SPDX-License-Identifier: Apache-2.0
// What goes in comes out: every message with every field filled (tests/support/samples.hpp).
#include "tests/support/message_catalog.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort {
namespace {

using messages::decode_command;
using messages::decode_event;
using samples::same;

/// Encodes, decodes, compares fields and envelope.
template <class Body, class Decode>
void expect_round_trip(const Body& body, Decode decode, std::string_view name) {
  const auto from = samples::sample_envelope();
  const auto bytes = messages::encode(from, body);
  ASSERT_TRUE(bytes.ok()) << name << ": " << bytes.failure().message;
  const auto message = decode(*bytes);
  ASSERT_TRUE(message.ok()) << name << ": " << message.failure().message;
  EXPECT_EQ(message->from, from) << name;
  EXPECT_TRUE(same(message->body, body)) << name;
}

template <class Body, class Decode>
void expect_bare_round_trip(const Body& body, Decode decode, std::string_view name) {
  const auto bytes = messages::encode(body);
  ASSERT_TRUE(bytes.ok()) << name << ": " << bytes.failure().message;
  const auto message = decode(*bytes);
  ASSERT_TRUE(message.ok()) << name << ": " << message.failure().message;
  EXPECT_EQ(*message, body) << name;
}

/// Whether every field of the alternative that `filled` holds differs from its default.
template <class Variant>
bool fills_every_field(const Variant& filled) {
  return std::visit(
      [](const auto& value) {
        bool all = true;
        const std::decay_t<decltype(value)> plain{};
        if constexpr (!std::is_empty_v<std::decay_t<decltype(value)>>)
          boost::pfr::for_each_field(value, [&](const auto& field, std::size_t at) {
            auto copy = plain;
            boost::pfr::for_each_field(copy, [&](auto& peer, std::size_t other) {
              if constexpr (std::is_same_v<decltype(field), const std::decay_t<decltype(peer)>&>)
                if (other == at)
                  peer = field;
            });
            all = all && !same(copy, plain);
          });
        return all;
      },
      filled);
}

// What the other tests rest on: nothing is left at its default, and no difference goes unseen.
TEST(RoundTrip, SamplesDifferFromDefaultsInEveryField) {
  for (const auto& event : samples::each_alternative<core::event>())
    EXPECT_TRUE(fills_every_field(event)) << samples::event_names[event.index()];
  for (const auto& command : samples::each_alternative<core::command>())
    EXPECT_TRUE(fills_every_field(command)) << samples::command_names[command.index()];
}

TEST(RoundTrip, KeepsEveryFieldOfEveryEvent) {
  for (const std::uint64_t seed : {0U, 41U}) {
    const auto events = samples::each_alternative<core::event>(seed);
    for (std::size_t at = 0; at < events.size(); ++at)
      expect_round_trip(events[at], decode_event, samples::event_names[at]);
  }
}

TEST(RoundTrip, KeepsEveryFieldOfEveryCommand) {
  for (const std::uint64_t seed : {0U, 41U}) {
    const auto commands = samples::each_alternative<core::command>(seed);
    for (std::size_t at = 0; at < commands.size(); ++at)
      expect_round_trip(commands[at], decode_command, samples::command_names[at]);
  }
}

TEST(RoundTrip, KeepsEveryFieldOfControlMessages) {
  samples::filler fill;
  expect_round_trip(fill.make<messages::hello>(), messages::decode_hello, "hello");
  expect_round_trip(fill.make<messages::hello_answer>(), messages::decode_hello_answer, "answer");
  expect_round_trip(fill.make<messages::heartbeat>(), messages::decode_heartbeat, "heartbeat");
  expect_round_trip(fill.make<messages::query>(), messages::decode_query, "query");
  expect_round_trip(fill.make<messages::query_answer>(), messages::decode_query_answer, "snapshot");
  messages::query_answer explained;
  fill.fill(explained.explanation);
  expect_round_trip(explained, messages::decode_query_answer, "explanation");
  messages::query_answer reloaded;
  fill.fill(reloaded.gateway);
  fill.fill(reloaded.reloads);
  expect_round_trip(reloaded, messages::decode_query_answer, "reloads");
  messages::query_answer listed;
  fill.fill(listed.plugins);
  expect_round_trip(listed, messages::decode_query_answer, "plugins");
  messages::query_answer kept;
  fill.fill(kept.kept);
  expect_round_trip(kept, messages::decode_query_answer, "kept");
}

TEST(RoundTrip, KeepsEveryFieldOfAttemptsAndHostMessages) {
  samples::filler fill;
  expect_bare_round_trip(fill.make<messages::attempt_open>(), messages::decode_attempt_open,
                         "attempt_open");
  for (const auto& event : samples::each_alternative<attempt_event>())
    expect_bare_round_trip(event, messages::decode_attempt_event, "attempt_event");
  for (const auto& command : samples::each_alternative<messages::host_command>())
    expect_bare_round_trip(command, messages::decode_host_command, "host_command");
  for (const auto& report : samples::each_alternative<messages::host_report>())
    expect_bare_round_trip(report, messages::decode_host_report, "host_report");
}

TEST(RoundTrip, KeepsWhatIsAbsentAbsent) {
  expect_round_trip(core::event(core::request_submitted{}), decode_event, "request_submitted");
  core::device_reported reported;
  reported.device = device_id("n/cpu0");
  reported.endpoints.emplace_back();
  expect_round_trip(core::event(reported), decode_event, "device_reported");
  core::load_replica load;
  load.node = node_id("n");
  expect_round_trip(core::command(load), decode_command, "load_replica");
  core::reject_request rejected;
  expect_round_trip(core::command(rejected), decode_command, "reject_request");
  expect_round_trip(messages::query_answer{}, messages::decode_query_answer, "unknown request");
}

TEST(RoundTrip, KeepsExtremeNumbers) {
  core::attempt_finished finished;
  finished.measured.usage.prompt_tokens = UINT32_MAX;
  finished.measured.energy_mj = finished.measured.cost_micros = UINT64_MAX;
  finished.measured.total_us = messages::limits::duration_us_max;
  expect_round_trip(core::event(finished), decode_event, "attempt_finished");
  messages::query_answer answer;
  answer.explanation.emplace().decisions.emplace_back().candidates.emplace_back();
  answer.explanation->decisions[0].candidates[0].device = device_id("n/cpu0");
  answer.explanation->decisions[0].candidates[0].score = INT64_MIN;
  answer.explanation->decisions[0].at = -messages::limits::duration_us_max;
  expect_round_trip(answer, messages::decode_query_answer, "explanation");
  expect_bare_round_trip(attempt_event(attempt_tokens{0, "", {INT32_MIN, -1, INT32_MAX}, ""}),
                         messages::decode_attempt_event, "tokens");
}

TEST(RoundTrip, KeepsAnyBytesOfABody) {
  messages::attempt_open open;
  open.permission.device = device_id("n/cpu0");
  open.permission.node = node_id("n");
  open.body.json = std::string("\xFF\x00{", 3);
  open.body.resume.text = "Größe ♫";
  expect_bare_round_trip(open, messages::decode_attempt_open, "attempt_open");
}

TEST(RoundTrip, DecodesAtAnyAlignment) {
  const auto bytes = messages::encode(samples::sample_envelope(), core::event(core::tick{}));
  ASSERT_TRUE(bytes.ok());
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::vector<char> moved(shift + bytes->size());
    std::copy(bytes->begin(), bytes->end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
    EXPECT_TRUE(decode_event(std::span<const char>(moved).subspan(shift)).ok()) << shift;
  }
}

// The longest sentence for people never costs the message that carries it.
TEST(RoundTrip, CutsAndRepairsSentencesForPeople) {
  core::attempt_failed failed;
  failed.failure = error{recovery::retry_elsewhere, "crashed",
                         std::string(messages::limits::text_bytes_max - 1, 'x') + "♫"};
  const auto bytes = messages::encode(samples::sample_envelope(), core::event(failed));
  ASSERT_TRUE(bytes.ok());
  const auto message = decode_event(*bytes);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(std::get<core::attempt_failed>(message->body).failure.message,
            std::string(messages::limits::text_bytes_max - 1, 'x'));
  failed.failure.message = "bad \xFF\xC0 bytes";
  const auto repaired = messages::encode(samples::sample_envelope(), core::event(failed));
  ASSERT_TRUE(repaired.ok());
  EXPECT_EQ(std::get<core::attempt_failed>(decode_event(*repaired)->body).failure.message,
            "bad ?? bytes");
}

// One device of which much is said costs no page of devices.
TEST(RoundTrip, CutsWhatIsSaidOfADevicesHealth) {
  core::device_reported told{device_id{"a/npu0"}, incarnation{1}, {}, {}, {}};
  told.reading.health_reason = std::string(3 * messages::limits::text_bytes_max, 'x');
  const auto bytes = messages::encode(samples::sample_envelope(), core::event(told));
  ASSERT_TRUE(bytes.ok());
  const auto message = decode_event(*bytes);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(std::get<core::device_reported>(message->body).reading.health_reason.size(),
            messages::limits::text_bytes_max);
}

} // namespace
} // namespace consort
