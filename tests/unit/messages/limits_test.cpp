// SPDX-License-Identifier: Apache-2.0
// Every bound of messages/limits.hpp: what lies on it crosses the wire, one more is an error value
// that names the field. The decoder's side of the same checks is in malformed_test.cpp.
#include "messages/wire_check.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

#include <functional>

namespace consort {
namespace {

namespace limits = messages::limits;
using testing::HasSubstr;

/// One bound: a message made from the bounded quantity.
struct bound {
  std::string field;
  std::uint64_t max;
  std::function<messages::encoded(std::uint64_t)> encode;
};

std::string letters(std::uint64_t count) {
  return std::string(count, 'x');
}

/// An event filled by samples, changed in one place.
template <class Event, class Change>
auto event_bound(Change change) {
  return [change](std::uint64_t quantity) {
    auto event = samples::filler().make<Event>();
    change(event, quantity);
    return messages::encode(samples::sample_envelope(), core::event(event));
  };
}

template <class Change>
auto body_bound(Change change) {
  return [change](std::uint64_t quantity) {
    messages::host_submit submit;
    change(submit.body, quantity);
    return messages::encode(messages::host_command(submit));
  };
}

template <class Change>
auto tokens_bound(Change change) {
  return [change](std::uint64_t quantity) {
    attempt_tokens tokens;
    change(tokens, quantity);
    return messages::encode(attempt_event(tokens));
  };
}

template <class Change>
auto explanation_bound(Change change) {
  return [change](std::uint64_t quantity) {
    messages::query_answer answer;
    auto& decision = answer.explanation.emplace().decisions.emplace_back();
    decision.candidates.emplace_back().device = device_id("n/cpu0");
    change(*answer.explanation, quantity);
    return messages::encode(samples::sample_envelope(), answer);
  };
}

std::map<std::string, std::string> attributes(std::uint64_t count) {
  std::map<std::string, std::string> map;
  for (std::uint64_t at = 0; at < count; ++at)
    map[std::to_string(at)] = "v";
  return map;
}

std::vector<bound> text_bounds() {
  using advertised = core::device_advertised;
  return {
      {"node_joined.node", limits::name_bytes_max,
       event_bound<core::node_joined>([](auto& e, auto n) { e.node.value = letters(n); })},
      {"device_spec.vendor", limits::label_bytes_max,
       event_bound<advertised>([](auto& e, auto n) { e.spec.vendor = letters(n); })},
      {"request_meta.external_id", limits::name_bytes_max,
       event_bound<core::request_submitted>(
           [](auto& e, auto n) { e.meta.external_id = letters(n); })},
      {"build_profile.flags", limits::text_bytes_max,
       event_bound<core::artifact_found>(
           [](auto& e, auto n) { e.record.key.profile.flags = letters(n); })},
      {"hello.join_token", limits::secret_bytes_max,
       [](auto n) {
         return messages::encode(samples::sample_envelope(), messages::hello{"c", letters(n), "s"});
       }},
      {"attempt_body.json", limits::json_bytes_max,
       body_bound([](auto& b, auto n) { b.json = letters(n); })},
      {"attempt_body.resume.text", limits::resume_text_bytes_max,
       body_bound([](auto& b, auto n) { b.resume.text = letters(n); })},
      {"attempt_tokens.text", limits::token_text_bytes_max,
       tokens_bound([](auto& t, auto n) { t.text = letters(n); })},
      {"host_stats.json", limits::host_json_bytes_max,
       [](auto n) {
         return messages::encode(messages::host_report(messages::host_stats{1, letters(n)}));
       }},
  };
}

std::vector<bound> count_bounds() {
  using advertised = core::device_advertised;
  using reported = core::device_reported;
  return {
      {"device_spec.attributes", limits::attributes_max,
       event_bound<advertised>([](auto& e, auto n) { e.spec.attributes = attributes(n); })},
      {"device_spec.tags", limits::words_max,
       event_bound<advertised>([](auto& e, auto n) { e.spec.tags.resize(n); })},
      {"device_capability.prices", limits::prices_max, event_bound<advertised>([](auto& e, auto n) {
         auto& prices = e.spec.capability.prices;
         prices.clear();
         for (std::uint64_t at = 0; at < n; ++at)
           prices[std::to_string(at)] = {1, 1, 1};
       })},
      {"device_capability.build_profiles", limits::profiles_max,
       event_bound<advertised>(
           [](auto& e, auto n) { e.spec.capability.build_profiles.resize(n); })},
      {"device_capability.memory_rules", limits::profiles_max,
       event_bound<advertised>([](auto& e, auto n) { e.spec.capability.memory_rules.resize(n); })},
      {"model_spec.variants", limits::variants_max,
       event_bound<core::model_declared>([](auto& e, auto n) { e.spec.variants.resize(n); })},
      {"device_reported.endpoints", limits::endpoints_max,
       event_bound<reported>([](auto& e, auto n) { e.endpoints.resize(n); })},
      {"device_reported.running", limits::attempts_max,
       event_bound<reported>([](auto& e, auto n) { e.running.resize(n); })},
      {"request_meta.prefix_blocks", limits::prefix_blocks_max,
       event_bound<core::request_submitted>(
           [](auto& e, auto n) { e.meta.prefix_blocks.resize(n); })},
      {"allocation.shares", limits::shares_max,
       [](auto n) {
         core::reserve_allocation reserve{node_id("n"), {}};
         reserve.grant.shares.resize(n, device_share{device_id("n/cpu0"), true, 0});
         return messages::encode(samples::sample_envelope(), core::command(reserve));
       }},
      {"attempt_tokens.token_ids", limits::token_ids_max,
       tokens_bound([](auto& t, auto n) { t.token_ids.resize(n); })},
      {"attempt_body.resume.token_ids", limits::resume_ids_max,
       body_bound([](auto& b, auto n) { b.resume.token_ids.resize(n); })},
      {"explanation.decisions", limits::decisions_max,
       explanation_bound([](auto& e, auto n) { e.decisions.resize(n); })},
      {"decision_view.candidates", limits::candidates_max, explanation_bound([](auto& e, auto n) {
         e.decisions[0].candidates.resize(n, e.decisions[0].candidates[0]);
       })},
      {"candidate_view.terms", limits::terms_max,
       explanation_bound([](auto& e, auto n) { e.decisions[0].candidates[0].terms.resize(n); })},
  };
}

std::vector<bound> number_bounds() {
  using reported = core::device_reported;
  using submitted = core::request_submitted;
  return {
      {"request_meta.choices", limits::choices_max, event_bound<submitted>([](auto& e, auto n) {
         e.meta.choices = static_cast<std::uint32_t>(n);
       })},
      {"attempt_tokens.choice", limits::choices_max - 1,
       tokens_bound([](auto& t, auto n) { t.choice = static_cast<std::uint32_t>(n); })},
      {"compile_progressed.done_pm", limits::per_mille_max,
       event_bound<core::compile_progressed>(
           [](auto& e, auto n) { e.done_pm = static_cast<std::uint32_t>(n); })},
      {"device_reading.utilization_pm", limits::load_pm_max,
       event_bound<reported>(
           [](auto& e, auto n) { e.reading.utilization_pm = static_cast<std::uint32_t>(n); })},
      {"device_reading.temperature_mc", limits::temperature_mc_max,
       event_bound<reported>(
           [](auto& e, auto n) { e.reading.temperature_mc = static_cast<std::int32_t>(n); })},
      {"request_meta.deadline_us", limits::duration_us_max,
       event_bound<submitted>(
           [](auto& e, auto n) { e.meta.deadline_us = static_cast<duration_us>(n); })},
      {"reject_request.http_status", limits::http_status_max,
       [](auto n) {
         core::reject_request reject;
         reject.http_status = static_cast<std::uint16_t>(n);
         return messages::encode(samples::sample_envelope(), core::command(reject));
       }},
  };
}

void expect_bound(const bound& one) {
  const auto at = one.encode(one.max);
  EXPECT_TRUE(at.ok()) << one.field << ": " << (at.ok() ? "" : at.failure().message);
  const auto above = one.encode(one.max + 1);
  ASSERT_FALSE(above.ok()) << one.field;
  EXPECT_EQ(above.failure().action, recovery::refuse);
  EXPECT_EQ(above.failure().code, "bad_frame");
  EXPECT_THAT(above.failure().message, HasSubstr(": " + one.field + " "));
}

TEST(WireLimits, BoundTexts) {
  for (const auto& one : text_bounds())
    expect_bound(one);
}

TEST(WireLimits, BoundCounts) {
  for (const auto& one : count_bounds())
    expect_bound(one);
}

TEST(WireLimits, BoundNumbersFromAbove) {
  for (const auto& one : number_bounds())
    expect_bound(one);
}

TEST(WireLimits, BoundNumbersFromBelow) {
  auto report = samples::filler().make<core::device_reported>();
  report.reading.temperature_mc = limits::temperature_mc_min - 1;
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), core::event(report)).ok());
  core::request_submitted submitted;
  submitted.meta.choices = 0;
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), core::event(submitted)).ok());
  submitted = {};
  submitted.meta.wait_us = -1;
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), core::event(submitted)).ok());
  core::reject_request reject;
  reject.http_status = limits::http_status_min - 1;
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), core::command(reject)).ok());
}

TEST(WireLimits, BoundASnapshotsRowsAndBytes) {
  messages::query_answer answer;
  answer.snapshot.emplace().requests.resize(limits::view_rows_max + 1);
  const auto rows = messages::encode(samples::sample_envelope(), answer);
  ASSERT_FALSE(rows.ok());
  EXPECT_THAT(rows.failure().message, HasSubstr("snapshot.requests has 100001 elements"));
  answer.snapshot->requests.resize(limits::view_rows_max);
  const auto bytes = messages::encode(samples::sample_envelope(), answer);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.failure().code, "frame_too_large");
}

TEST(WireLimits, BoundTheNodesOfAReload) {
  messages::query_answer answer;
  answer.reloads.resize(limits::nodes_max);
  for (auto& one : answer.reloads)
    one.node.value = letters(limits::name_bytes_max);
  EXPECT_TRUE(messages::encode(samples::sample_envelope(), answer).ok());
  answer.reloads.push_back(answer.reloads.front());
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), answer).ok());
}

TEST(WireLimits, BoundTheRowsOfAListOfPlugins) {
  const auto fits = [](const messages::plugins_report& report) {
    messages::query_answer answer;
    answer.plugins = {report};
    return messages::encode(samples::sample_envelope(), answer).ok();
  };
  messages::plugins_report full;
  full.node.value = "n";
  full.plugins.resize(limits::plugins_max);
  full.claims.resize(limits::claims_max);
  full.plugins[0].devices.assign(limits::words_max, "n/cpu0");
  full.plugins[0].reason = letters(limits::text_bytes_max + 1); // For people: cut, not refused.
  EXPECT_TRUE(fits(full));
  auto more = full;
  more.plugins.emplace_back();
  EXPECT_FALSE(fits(more));
  more = full;
  more.claims.emplace_back();
  EXPECT_FALSE(fits(more));
  more = full;
  more.plugins[0].devices.emplace_back("n/cpu1");
  EXPECT_FALSE(fits(more));
  messages::query_answer nodes;
  nodes.plugins.resize(limits::nodes_max);
  for (auto& one : nodes.plugins)
    one.node.value = letters(limits::name_bytes_max);
  EXPECT_TRUE(messages::encode(samples::sample_envelope(), nodes).ok());
  nodes.plugins.push_back(nodes.plugins.front());
  EXPECT_FALSE(messages::encode(samples::sample_envelope(), nodes).ok());
}

TEST(WireLimits, BoundBodyFrames) {
  messages::host_submit submit;
  submit.body.json = letters(limits::json_bytes_max);
  submit.body.resume.text = letters(limits::resume_text_bytes_max);
  submit.body.resume.token_ids.resize(limits::resume_ids_max);
  const auto bytes = messages::encode(messages::host_command(submit));
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.failure().code, "frame_too_large");
  submit.body.resume.token_ids.resize(limits::resume_ids_max / 2);
  EXPECT_TRUE(messages::encode(messages::host_command(submit)).ok());
}

TEST(WireLimits, BoundPayloadsBeforeParsing) {
  const std::vector<char> bytes(limits::frame_bytes_max + 8);
  EXPECT_EQ(messages::decode_event(bytes).failure().code, "frame_too_large");
  const std::vector<char> body(limits::body_frame_bytes_max + 8);
  EXPECT_EQ(messages::decode_attempt_open(body).failure().code, "frame_too_large");
}

TEST(WireText, KnowsUtf8) {
  for (const char* good : {"", "plain", "\x7F", "é", "€", "\xF0\x9F\x8E\xBB", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(messages::is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
                          "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "a\xFF"})
    EXPECT_FALSE(messages::is_utf8(bad)) << bad;
}

TEST(WireText, RepairsAndCutsAtCharacters) {
  EXPECT_EQ(messages::repaired("a€b", 10), "a€b");
  EXPECT_EQ(messages::repaired("a€b", 3), "a");
  EXPECT_EQ(messages::repaired("a€b", 4), "a€");
  EXPECT_EQ(messages::repaired("\xE2\x82", 10), "??");
  EXPECT_EQ(messages::repaired("a\x80z", 2), "a?");
}

} // namespace
} // namespace consort
