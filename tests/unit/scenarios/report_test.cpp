// SPDX-License-Identifier: Apache-2.0
#include "scenarios/report/report.hpp"

#include "scenarios/limits.hpp"
#include "scenarios/sim/slo.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

const request_id first_id{gateway_id(1), 1};
const request_id second_id{gateway_id(1), 2};

request_meta meta_of(const request_id& id, std::uint32_t prompt = 1'000) {
  request_meta made;
  made.id = id;
  made.prompt_tokens = prompt;
  return made;
}

client_answer answer(const request_id& id, request_outcome outcome = request_outcome::finished) {
  return {id, outcome, "", {}, 0};
}

TEST(Slo, CountsArrivalsThatGotWhatWasPromised) {
  slo_watcher watch({.ttft_us = 100, .ttft_per_1k_us = 50, .itl_us = 10, .gap_us = 30});
  EXPECT_EQ(watch.attainment(), std::nullopt);
  watch.on_submitted(meta_of(first_id), 0);
  watch.on_tokens(first_id, {}, 1, 150); // 100 and 50 for a thousand prompt tokens.
  watch.on_tokens(first_id, {}, 1, 160);
  watch.on_answered(answer(first_id), 160);
  EXPECT_EQ(watch.attainment(), 1.0);
}

/// Three come while the model loads, one while the last of these waits, one when all is well.
TEST(Slo, TellsMissesThatLoadingMadeFromOthers) {
  slo_watcher watch({.ttft_us = 100, .ttft_per_1k_us = 0, .itl_us = 0, .gap_us = 0});
  const auto id = [](std::uint64_t number) { return request_id{gateway_id(1), number}; };
  core::load_replica load;
  load.instance = instance_id(5);
  load.model = model_name("m");
  const auto submit = [&](std::uint64_t number, time_us at) {
    auto meta = meta_of(id(number));
    meta.model = load.model;
    watch.on_submitted(meta, at);
  };
  const auto serve = [&](std::uint64_t number, time_us at) {
    watch.on_tokens(id(number), {}, 1, at);
    watch.on_answered(answer(id(number)), at);
  };
  watch.on_command(load, 0);
  for (const std::uint64_t early : {1, 2, 3})
    submit(early, 10);
  core::replica_loaded loaded;
  loaded.instance = load.instance;
  watch.on_event(loaded, 1'000);
  serve(1, 1'050);
  watch.on_answered(answer(id(2), request_outcome::cancelled), 1'060);
  submit(4, 1'100);
  serve(3, 1'200);
  submit(5, 1'210);
  serve(4, 1'300);
  serve(5, 1'400);
  submit(6, 1'500);
  serve(6, 1'550);
  EXPECT_EQ(watch.misses(), 4U);
  EXPECT_EQ(watch.early_misses(), 3U) << "the fifth was slow, and nothing was left of the start";
}

TEST(Slo, TokensThatComeAtOnceAreAsMany) {
  const auto attained = [&](std::uint32_t count) {
    slo_watcher watch({.ttft_us = 100, .ttft_per_1k_us = 0, .itl_us = 10, .gap_us = 30});
    watch.on_submitted(meta_of(first_id), 0);
    watch.on_tokens(first_id, {}, 1, 50);
    watch.on_tokens(first_id, {}, count, 80);
    watch.on_answered(answer(first_id), 80);
    return watch.attainment();
  };
  EXPECT_EQ(attained(2), 0.0) << "15 each";
  EXPECT_EQ(attained(3), 1.0) << "10 each";
}

TEST(Slo, ALateTokenAGapARefusalAndSlowTokensAreMisses) {
  const scenario_slo bounds{.ttft_us = 100, .ttft_per_1k_us = 0, .itl_us = 10, .gap_us = 30};
  const auto attained = [&](const std::vector<time_us>& tokens, request_outcome outcome) {
    slo_watcher watch(bounds);
    watch.on_submitted(meta_of(first_id), 0);
    for (const auto at : tokens)
      watch.on_tokens(first_id, {}, 1, at);
    watch.on_answered(answer(first_id, outcome), 500);
    return watch.attainment();
  };
  using enum request_outcome;
  EXPECT_EQ(attained({100, 110}, finished), 1.0);
  EXPECT_EQ(attained({101}, finished), 0.0) << "late";
  EXPECT_EQ(attained({50, 61, 72}, finished), 0.0) << "slow";
  EXPECT_EQ(attained({50, 51, 52, 83, 84, 85}, finished), 0.0) << "a gap over a failover";
  EXPECT_EQ(attained({}, rejected), 0.0) << "refused";
  EXPECT_EQ(attained({50}, failed), 0.0) << "failed";
  EXPECT_EQ(attained({}, cancelled), std::nullopt) << "left by itself";
}

/// A course with a load, a fault and more events than fit none.
class TimelineTest : public testing::Test {
protected:
  TimelineTest() {
    core::load_replica load;
    load.instance = instance_id(5);
    load.grant.shares = {{device_id("n/npu0"), false, 1}};
    load.model = model_name("m");
    recorder_.on_command(load, 1'000'000);
  }
  /// A device's report, its energy counter in joules.
  static core::device_reported report(const char* device, std::uint64_t joules,
                                      std::vector<attempt_id> running = {}) {
    core::device_reported made;
    made.device = device_id(device);
    made.reading.energy_mj = joules * 1'000;
    made.running = std::move(running);
    return made;
  }
  static ticket ticket_for(const attempt_id& attempt, const char* device) {
    ticket made;
    made.attempt = attempt;
    made.device = device_id(device);
    return made;
  }

  timeline course_;
  timeline_recorder recorder_{course_, 10'000'000};
};

TEST_F(TimelineTest, ALoadBecomesAServingBarAndEndsWithItsNode) {
  core::replica_loaded loaded;
  loaded.instance = instance_id(5);
  recorder_.on_event(loaded, 2'000'000);
  recorder_.on_fault("kill", "n", true, 4'000'000);
  recorder_.on_fault("kill", "n", false, 6'000'000);
  recorder_.on_fault("kill", "n", false, 9'000'000); // Told again when all heals.
  recorder_.on_end({}, 10'000'000);
  ASSERT_EQ(course_.spans.size(), 3U);
  EXPECT_EQ(course_.spans[0].kind, "load");
  EXPECT_EQ(course_.spans[0].to, 2'000'000);
  EXPECT_EQ(course_.spans[1].kind, "serve");
  EXPECT_EQ(course_.spans[1].to, 4'000'000);
  EXPECT_TRUE(course_.spans[1].failed);
  EXPECT_EQ(course_.spans[2].kind, "fault");
  EXPECT_EQ(course_.spans[2].to, 6'000'000);
}

TEST_F(TimelineTest, CountsWhoWaits) {
  recorder_.on_submitted(meta_of(first_id), 1'000'000);
  recorder_.on_submitted(meta_of(second_id), 1'100'000);
  core::grant_ticket granted;
  granted.granted.attempt = {first_id, 1};
  recorder_.on_command(granted, 1'200'000);
  recorder_.on_end({}, 10'000'000);
  EXPECT_EQ(course_.slice_us, 1'000'000);
  EXPECT_EQ(course_.waiting[1], 2U);
}

TEST_F(TimelineTest, LoadIsAMeanOverTheSliceOfWhatReportsDoNotSee) {
  // Reports see one of the two attempts, and that only once.
  recorder_.on_event(report("n/npu0", 0), 1'000'000);
  recorder_.on_ticket_honoured(ticket_for({first_id, 1}, "n/npu0"), {}, 1'300'000);
  recorder_.on_drawn({first_id, 1}, std::nullopt, 1'500'000);
  recorder_.on_ticket_honoured(ticket_for({second_id, 1}, "n/npu0"), {}, 1'600'000);
  recorder_.on_event(report("n/npu0", 0, {{second_id, 1}}), 2'000'000);
  recorder_.on_drawn({second_id, 1}, std::nullopt, 2'100'000);
  recorder_.on_event(report("n/npu0", 0), 3'000'000);
  recorder_.on_end({}, 10'000'000);
  ASSERT_EQ(course_.devices.size(), 1U);
  EXPECT_NEAR(course_.devices[0].running[1], 0.6, 1e-9);
  EXPECT_NEAR(course_.devices[0].running[2], 0.1, 1e-9);
  EXPECT_EQ(course_.devices[0].running[3], 0);
}

TEST_F(TimelineTest, LoadEndsWithAProcessAndWhereAReportNoLongerHasIt) {
  recorder_.on_ticket_honoured(ticket_for({first_id, 1}, "n/npu0"), {}, 1'000'000);
  recorder_.on_fault("kill", "n", true, 1'500'000);
  recorder_.on_ticket_honoured(ticket_for({second_id, 1}, "m/npu0"), {}, 1'000'000);
  recorder_.on_event(report("m/npu0", 0), 3'000'000); // A fence dropped it.
  recorder_.on_end({}, 10'000'000);
  ASSERT_EQ(course_.devices.size(), 2U);
  EXPECT_EQ(course_.devices[0].device, "m/npu0") << "the busiest first";
  EXPECT_NEAR(course_.devices[0].running[2], 1, 1e-9);
  EXPECT_EQ(course_.devices[0].running[3], 0);
  EXPECT_NEAR(course_.devices[1].running[1], 0.5, 1e-9);
  EXPECT_EQ(course_.devices[1].running[2], 0);
}

TEST_F(TimelineTest, PowerIsWhatTheEnergyCounterGrewBy) {
  recorder_.on_event(report("n/npu0", 10), 1'500'000);
  recorder_.on_event(report("n/npu0", 40), 2'500'000); // Of one moment it could be anything.
  // A link held four reports: all come at once, and are of four seconds.
  for (const auto joules : {50, 60, 70, 80})
    recorder_.on_event(report("n/npu0", static_cast<std::uint64_t>(joules)), 6'500'000);
  recorder_.on_end({}, 6'500'000);
  const std::vector<double> wanted{5, 20, 20, 10, 10, 10, 10};
  ASSERT_EQ(course_.devices.size(), 1U);
  for (std::size_t at = 0; at < wanted.size(); ++at) {
    EXPECT_NEAR(course_.power_w[at], wanted[at], 1e-9) << at;
    EXPECT_NEAR(course_.devices[0].power_w[at], wanted[at], 1e-9) << at;
  }
}

TEST_F(TimelineTest, OfManyDevicesTheBusiestAreKept) {
  constexpr std::size_t count = limits::timeline_devices_max + 6;
  for (std::size_t at = 0; at < count; ++at)
    recorder_.on_event(report(("n/npu" + std::to_string(at)).c_str(), 10), 1'000'000);
  // Those that came last, with no course until they work.
  for (std::size_t at = count - 3; at < count; ++at) {
    const auto name = "n/npu" + std::to_string(at);
    const attempt_id attempt{first_id, static_cast<std::uint32_t>(at)};
    recorder_.on_ticket_honoured(ticket_for(attempt, name.c_str()), {}, 1'000'000);
    recorder_.on_drawn(attempt, std::nullopt, static_cast<time_us>(at + 2) * 100'000);
  }
  recorder_.on_end({}, 10'000'000);
  EXPECT_EQ(course_.devices_seen, count);
  ASSERT_EQ(course_.devices.size(), limits::timeline_devices_max);
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_EQ(course_.devices[place].device, "n/npu" + std::to_string(count - 1 - place));
  EXPECT_NEAR(course_.devices[0].power_w[0], 10, 1e-9) << "what it drew before it worked";
}

TEST_F(TimelineTest, NoMoreCoursesThanTheLimit) {
  for (std::size_t at = 0; at < limits::timeline_courses_max + 5; ++at) {
    const auto name = "n/npu" + std::to_string(at);
    recorder_.on_ticket_honoured(
        ticket_for({first_id, static_cast<std::uint32_t>(at)}, name.c_str()), {}, 1'000'000);
  }
  EXPECT_EQ(course_.devices.size(), limits::timeline_courses_max);
  recorder_.on_end({}, 10'000'000);
  EXPECT_EQ(course_.devices.size(), limits::timeline_devices_max);
}

TEST_F(TimelineTest, PowerIsAMeanOverEverySliceAndWhatComesLaterIsInNone) {
  constexpr duration_us length = 2'500 * limits::second_us + limits::second_us / 2;
  timeline course;
  timeline_recorder recorder(course, length);
  core::device_reported report;
  report.device = device_id("n/npu0");
  report.reading.power_mw = 20'000;
  // A report a second, for a minute longer than the slices cover.
  const auto end = length + 60 * limits::second_us;
  for (time_us at = 1'300; at < end; at += limits::report_every_us) {
    recorder.on_event(report, at);
    recorder.on_tokens({}, {}, 1, at);
  }
  recorder.on_end({}, end);
  EXPECT_LE(course.power_w.size(), limits::timeline_slices_max);
  for (const auto power : course.power_w)
    EXPECT_NEAR(power, 20, 1e-9);
  for (const auto tokens : course.tokens)
    EXPECT_EQ(tokens, course.slice_us / limits::report_every_us);
}

TEST_F(TimelineTest, TheLastSliceOfARunThatEndsWithinItIsAMeanToo) {
  timeline course;
  timeline_recorder recorder(course, 1'000 * limits::second_us);
  ASSERT_EQ(course.slice_us, 5 * limits::second_us);
  core::device_reported report;
  report.device = device_id("n/npu0");
  report.reading.power_mw = 20'000;
  recorder.on_event(report, 5 * limits::second_us);
  recorder.on_event(report, 6 * limits::second_us);
  recorder.on_end({}, 7 * limits::second_us); // A checker stopped it there.
  EXPECT_DOUBLE_EQ(course.power_w[1], 20);
}

TEST_F(TimelineTest, KeepsNoMoreEventsThanItsLimitAndCountsTheRest) {
  const core::note said{core::note::severity::info, "n", "text"};
  const auto before = course_.events.size();
  for (std::size_t count = 0; count < limits::timeline_events_max + 5; ++count)
    recorder_.on_command(said, 5);
  EXPECT_EQ(course_.events.size(), limits::timeline_events_max);
  EXPECT_EQ(course_.left_off, 5 + before);
  EXPECT_NE(events_csv(course_).find(",left_off,,"), std::string::npos);
}

TEST(Report, IsOnePageWithoutANetworkThatNamesItsOrigin) {
  run_summary summary;
  summary.policy = "latency";
  summary.violations = {"</script><script>alert(1)</script>"};
  const auto page
      = report_html({"night", "it holds", "seed 7", "1.2.3", "consort sim night.json --seed 7", ""},
                    {{"latency", 2.5, &summary, ""}});
  EXPECT_EQ(page.find("CONSORT_REPORT_DATA"), std::string::npos);
  EXPECT_NE(page.find("consort sim night.json --seed 7"), std::string::npos);
  EXPECT_NE(page.find("1.2.3"), std::string::npos);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos) << "data must not end its element";
  for (const auto* outside : {"src=\"http", "href=\"http", "@import", "fetch(", "url("})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
}

TEST(Report, ItsCurvesCountRequestsThatWereNotKept) {
  run_summary summary;
  summary.further.first_tokens.add(1'234'567'000);
  const auto page = report_html({"s", "", "seed 7", "1", "c", ""}, {{"latency", 0, &summary, ""}});
  EXPECT_NE(page.find("\"ttft\":[[1230000.0"), std::string::npos);
}

TEST(Report, CsvQuotesWhatNeedsIt) {
  timeline course;
  course.events.push_back({5, "note", "n", "a, \"b\""});
  EXPECT_EQ(events_csv(course), "time_us,kind,subject,text\n5,note,n,\"a, \"\"b\"\"\"\n");
}

} // namespace
} // namespace consort::sim
