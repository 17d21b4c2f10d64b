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
  made.devices = {"local/npu0"};
  return made;
}

TEST(BenchProfile, MeasuresDoublingSizesUpToTheBoundsAndIsReadBack) {
  load_options load;
  load.streams = 6;
  load.input_tokens = 100;
  const auto learned = learn_profile(load, known_server);
  ASSERT_TRUE(learned.ok()) << learned.failure().message;
  EXPECT_EQ(learned->device, "local/npu0");
  const auto text = profile_text(learned->points, "a test", "org/m-8b");
  EXPECT_EQ(text, "# a test\n# model: org/m-8b\nkind,size,us\n"
                  "decode,1,110.0\ndecode,2,120.0\ndecode,4,140.0\ndecode,6,160.0\n"
                  "prefill,16,80.0\nprefill,32,160.0\nprefill,64,320.0\nprefill,100,500.0\n");
  const auto read = sim::read_profile(text);
  ASSERT_TRUE(read.error.empty()) << read.error;
  EXPECT_EQ(read.of.model, "org/m-8b");
  EXPECT_EQ(profile_text(learned->points, "a test", "").find("model"), std::string::npos);
  EXPECT_EQ(read.points.decode.size(), 4U);
  EXPECT_DOUBLE_EQ(read.points.prefill.back().us, 500);
}

TEST(BenchProfile, SaysWhichLoadToldNothing) {
  const auto points = learn_profile({}, [](const load_options&) -> result<load_report> {
    load_report made;
    made.errors["HTTP 429"] = 3;
    made.said["HTTP 429"] = "the queue is full";
    return made;
  });
  ASSERT_FALSE(points.ok());
  EXPECT_NE(
      points.failure().message.find("1 streams of 16 tokens gave HTTP 429: the queue is full"),
      std::string::npos)
      << points.failure().message;
}

/// Whoever was free answered: what was learned would be nobody's speed.
TEST(BenchProfile, IsOfOneDevice) {
  load_options load;
  load.streams = 2;
  const auto mixed = learn_profile(load, [](const load_options& now) {
    auto made = known_server(now);
    if (now.streams == 2)
      made->devices = {"local/cpu0"};
    return made;
  });
  ASSERT_FALSE(mixed.ok());
  EXPECT_NE(mixed.failure().message.find("local/cpu0 and local/npu0 answered, and a profile is of "
                                         "one device: name it with --device"),
            std::string::npos)
      << mixed.failure().message;
  load.model = "m";
  load.url = "http://x";
  EXPECT_EQ(profile_origin(load, "local/npu0"),
            "learned by `consort bench --profile` from m on local/npu0 at http://x");
  EXPECT_EQ(profile_origin(load, ""), "learned by `consort bench --profile` from m, on a device "
                                      "that its server does not name, at http://x");
  load.device = "npu";
  EXPECT_EQ(profile_origin(load, ""),
            "learned by `consort bench --profile` from m on npu at http://x");
}

} // namespace
} // namespace consort::cli
