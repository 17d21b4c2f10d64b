// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/attempt_table.hpp"
#include "node/runtimes/host_log.hpp"
#include "node/runtimes/session_stats.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::node::test {
namespace {

struct AttemptTable : ::testing::Test {
  std::uint64_t begin(std::uint64_t sequence) { return table.add(attempt(sequence), sink).value(); }
  std::string code(std::uint64_t number, attempt_event event) {
    const auto fits = table.deliver(number, std::move(event));
    return fits ? "ok" : fits.failure().code;
  }

  std::shared_ptr<attempt_recorder> sink = std::make_shared<attempt_recorder>();
  attempt_table table{c_abi_limits{}};
};

TEST_F(AttemptTable, NumbersAreUsedOnceAndAttemptsRunOnce) {
  const auto first = begin(1);
  EXPECT_EQ(table.add(attempt(1), sink).failure().code, "attempt_repeated");
  EXPECT_EQ(code(first, attempt_aborted{}), "ok");
  EXPECT_NE(begin(1), first);
}

TEST_F(AttemptTable, OnlyAnOrderThatCanBeTrueIsDelivered) {
  const auto number = begin(1);
  EXPECT_EQ(code(number + 1, attempt_opened{}), "host_protocol");
  EXPECT_EQ(code(number, attempt_tokens{}), "host_protocol");
  EXPECT_EQ(code(number, attempt_completed{}), "host_protocol");
  EXPECT_EQ(code(number, attempt_opened{}), "ok");
  EXPECT_EQ(code(number, attempt_opened{}), "host_protocol");
  EXPECT_EQ(code(number, attempt_tokens{127, "x", {}, ""}), "ok");
  EXPECT_EQ(code(number, attempt_tokens{128, "x", {}, ""}), "host_protocol");
  EXPECT_EQ(code(number, attempt_choice_done{127, "stop"}), "ok");
  EXPECT_EQ(code(number, attempt_tokens{127, "x", {}, ""}), "host_protocol");
  EXPECT_EQ(code(number, attempt_choice_done{127, "stop"}), "host_protocol");
  EXPECT_EQ(code(number, attempt_choice_done{128, "stop"}), "host_protocol");
  EXPECT_EQ(code(number, attempt_completed{}), "ok");
  EXPECT_EQ(code(number, attempt_completed{}), "host_protocol");
  EXPECT_EQ(sink->seen().size(), 4u);
}

TEST_F(AttemptTable, AChoiceThatNobodyAskedForIsNamed) {
  const auto number = table.add(attempt(1), sink, 2).value();
  EXPECT_EQ(code(number, attempt_opened{}), "ok");
  EXPECT_EQ(code(number, attempt_tokens{1, "x", {}, ""}), "ok");
  EXPECT_EQ(code(number, attempt_choice_done{2, "stop"}), "host_protocol");
  const auto wrong = table.deliver(number, attempt_tokens{99, "x", {}, ""});
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.failure().message, ::testing::HasSubstr("it answers choice 99"));
}

TEST_F(AttemptTable, TextAndExtraFieldsAreChecked) {
  const auto number = begin(1);
  EXPECT_EQ(code(number, attempt_opened{}), "ok");
  EXPECT_EQ(code(number, attempt_tokens{0, "\xc3", {}, ""}), "host_protocol");
  EXPECT_EQ(code(number, attempt_tokens{0, "", {}, "[1]"}), "host_protocol");
  EXPECT_EQ(code(number, attempt_tokens{0, "", {}, "{\"a\":"}), "host_protocol");
  EXPECT_EQ(code(number, attempt_tokens{0, "é", {}, "{\"a\":1}"}), "ok");
}

TEST_F(AttemptTable, ACancelledAttemptIsNeverTheDevicesFault) {
  const auto number = begin(1);
  const auto other = begin(2);
  EXPECT_EQ(table.cancel(attempt(1), 50), number);
  EXPECT_EQ(table.cancel(attempt(1), 60), std::nullopt);
  EXPECT_EQ(table.cancel(attempt(9), 60), std::nullopt);
  EXPECT_EQ(table.cancel(attempt(2), 70), other);
  EXPECT_EQ(table.oldest_cancel(), 50);
  EXPECT_EQ(code(number, attempt_aborted{{recovery::bug, "ecc", ""}, true}), "ok");
  EXPECT_EQ(sink->failure().failure.code, "cancelled");
  EXPECT_FALSE(sink->failure().device_fault);
  EXPECT_EQ(table.oldest_cancel(), 70);
  table.abort_all({recovery::retry_elsewhere, "runtime_died", ""}, true);
  EXPECT_EQ(sink->failure().failure.code, "cancelled");
  EXPECT_EQ(table.oldest_cancel(), std::nullopt);
}

TEST_F(AttemptTable, AbortingAllEndsEachOnceEvenIfASinkComesBack) {
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence)
    begin(sequence);
  sink->reaction = [&] { (void)table.cancel(attempt(3), 1); };
  table.abort_all({recovery::retry_elsewhere, "runtime_died", ""}, true);
  EXPECT_EQ(sink->terminals(), 5u);
  EXPECT_EQ(table.size(), 0u);
}

TEST(HostLog, KeepsTheLastLinesAndAnUnfinishedOne) {
  host_log log("n/npu0");
  EXPECT_EQ(log.tail(), "");
  for (std::size_t line = 1; line <= limits::log_tail_lines_max + 2; ++line)
    log.feed("line " + std::to_string(line) + "\n");
  log.feed("un");
  log.feed("finished");
  EXPECT_EQ(log.tail(), "line 3 | line 4 | line 5 | line 6 | line 7 | line 8 | line 9 | line 10 | "
                        "unfinished");
}

TEST(HostLog, CutsLongLinesAndDefusesBytes) {
  host_log log("n/npu0");
  log.feed(std::string(limits::log_line_bytes_max * 3, 'x'));
  EXPECT_EQ(log.tail().size(), limits::log_line_bytes_max);
  log.feed("\n");
  EXPECT_EQ(log.tail(), std::string(limits::log_line_bytes_max, 'x'));
  host_log other("n/npu0");
  other.feed("a\x1b[2Jb\xff\n한\n");
  EXPECT_EQ(other.tail(), "a?[2Jb? | 한");
}

TEST(HostLog, CountsWhatItNoLongerLogs) {
  host_log log("n/npu0");
  for (std::uint64_t line = 0; line < limits::log_lines_per_session_max + 5; ++line)
    log.feed("x\n");
  EXPECT_EQ(log.lines_total(), limits::log_lines_per_session_max + 5);
}

TEST(HostLog, TellsUtf8FromOtherBytes) {
  for (const auto* good : {"", "abc", "é", "한글", "\xf0\x9f\x8e\xbb", "\xf4\x8f\xbf\xbf",
                           "\xed\x9f\xbf", "\xee\x80\x80"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const auto* bad :
       {"\x80", "\xc3", "a\xe2\x82", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3(", "\xff"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(SessionStats, WhatIsMissingOrWrongIsUnknown) {
  const auto good = parse_session_stats(
      R"({"sequences_max":4,"kv_tokens_max":2048,"sequences_running":2,"steps_total":9,
          "tokens_generated_total":18446744073709551615,"cancelled_total":1,"new":[]})");
  EXPECT_EQ(good.capacity.sequences.value, 4u);
  EXPECT_EQ(good.sequences_running, 2u);
  EXPECT_EQ(good.steps_total, 9u);
  EXPECT_EQ(good.tokens_generated_total, ~std::uint64_t{0});
  for (const auto* bad : {"", "[]", "{", "null", R"({"sequences_max":-1,"kv_tokens_max":"x"})",
                          R"({"sequences_max":1.5,"sequences_running":1e99})"}) {
    const auto read = parse_session_stats(bad);
    EXPECT_EQ(read.capacity.sequences.value, std::nullopt) << bad;
    EXPECT_EQ(read.capacity.kv_tokens.value, std::nullopt) << bad;
    EXPECT_EQ(read.sequences_running, 0u) << bad;
  }
}

} // namespace
} // namespace consort::node::test
