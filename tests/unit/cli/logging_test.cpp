// SPDX-License-Identifier: Apache-2.0
// What a message may do to the log: nothing but be read.
#include "cli/logging.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <sstream>

namespace consort::cli {
namespace {

std::string logged(const std::string& format, const std::string& message) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger.set_formatter(make_log_formatter(format));
  logger.warn("{}", message);
  return out.str();
}

const std::string forged("x\n13:00:00.000 error   FAKE \x1b[31mred\0\x7f", 38);

TEST(Logging, AMessageStaysOnItsLine) {
  const auto line = logged("text", forged);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  EXPECT_TRUE(line.ends_with("x\\x0a13:00:00.000 error   FAKE \\x1b[31mred\\x00\\x7f\n")) << line;
}

TEST(Logging, JsonLinesHoldNoControlCharacterEither) {
  const auto line = logged("json", forged + "\xC2\x9B");
  EXPECT_TRUE(std::none_of(line.begin(), line.end() - 1, [](unsigned char c) {
    return c < 0x20 || c >= 0x7f;
  })) << line;
  EXPECT_EQ(nlohmann::json::parse(line)["message"], forged + "\xC2\x9B");
}

TEST(Logging, OnlyControlCharactersAreEscaped) {
  EXPECT_EQ(on_one_line("plain \xC3\xA9 \xE2\x82\xAC \\n"), "plain \xC3\xA9 \xE2\x82\xAC \\n");
  EXPECT_EQ(on_one_line("a\tb\xC2\x9B\xC2\xA0\xC2"), "a\\x09b\\x9b\xC2\xA0\xC2");
}

} // namespace
} // namespace consort::cli
