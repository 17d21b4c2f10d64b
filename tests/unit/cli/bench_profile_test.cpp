// SPDX-License-Identifier: Apache-2.0
// What `bench --profile` learns of a server whose speed is known.
#include "cli/bench_profile.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

/// Gaps of 100 us and 10 for each stream; 5 us for each prompt token.
result<load_report> known_server(const load_options& load) {
  load_report made;
  made.token_gap_us = {100 + 10 * load.streams};
  made.first_token_us = {5 * load.input_tokens};
  made.finished = load.requests;
  return made;
}

TEST(BenchProfile, MeasuresDoublingSizesUpToTheBoundsAndIsReadBack) {
  load_options load;
  load.streams = 6;
  load.input_tokens = 100;
  const auto points = learn_profile(load, known_server);
  ASSERT_TRUE(points.ok()) << points.failure().message;
  const auto text = profile_text(*points, "a test");
  EXPECT_EQ(text, "# a test\nkind,size,us\n"
                  "decode,1,110.0\ndecode,2,120.0\ndecode,4,140.0\ndecode,6,160.0\n"
                  "prefill,16,80.0\nprefill,32,160.0\nprefill,64,320.0\nprefill,100,500.0\n");
  const auto read = sim::read_profile(text);
  ASSERT_TRUE(read.error.empty()) << read.error;
  EXPECT_EQ(read.points.decode.size(), 4U);
  EXPECT_DOUBLE_EQ(read.points.prefill.back().us, 500);
}

TEST(BenchProfile, SaysWhichLoadToldNothing) {
  const auto points = learn_profile({}, [](const load_options&) -> result<load_report> {
    load_report made;
    made.errors["HTTP 429"] = 3;
    return made;
  });
  ASSERT_FALSE(points.ok());
  EXPECT_NE(points.failure().message.find("1 streams of 16 tokens gave HTTP 429"),
            std::string::npos)
      << points.failure().message;
}

} // namespace
} // namespace consort::cli
