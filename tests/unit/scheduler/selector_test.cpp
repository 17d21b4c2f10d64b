// SPDX-License-Identifier: Apache-2.0
#include "scheduler/selector.hpp"

#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

device_spec atom() {
  device_spec device;
  device.id = device_id{"edge-3/npu0"};
  device.node = node_id{"edge-3"};
  device.type = resource_type::npu;
  device.vendor = "Rebellions";
  device.model = "ATOM";
  device.plugin = "rebellions-card";
  device.tags = {"low-latency"};
  return device;
}

struct selector_case {
  const char* text;
  bool matches;
};

class SelectorTable : public ::testing::TestWithParam<selector_case> {};

TEST_P(SelectorTable, MatchesAsDocumented) {
  const auto parsed = selector::parse(GetParam().text);
  ASSERT_TRUE(parsed) << GetParam().text;
  EXPECT_EQ(parsed->matches(atom()), GetParam().matches) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    All, SelectorTable,
    ::testing::Values(
        selector_case{"auto", true}, selector_case{"", true}, selector_case{"npu", true},
        selector_case{"gpu", false}, selector_case{"edge-3/npu0", true},
        selector_case{"edge-*/npu0", true}, selector_case{"edge-?/npu*", true},
        selector_case{"edge-*/gpu0", false}, selector_case{"tag=low-latency", true},
        selector_case{"tag=batch", false}, selector_case{"vendor=rebellions", true},
        selector_case{"npu,vendor=rebellions", true}, selector_case{"npu , vendor=nvidia", false},
        selector_case{"gpu|npu", true}, selector_case{"gpu|cpu", false},
        selector_case{"gpu|npu,tag=batch", false}, selector_case{"npu,tag=batch|node=edge-3", true},
        selector_case{"!gpu", true}, selector_case{"!npu", false},
        selector_case{"npu,!tag=low-latency", false}, selector_case{"model=atom", true},
        selector_case{"plugin=rebellions-card", true}, selector_case{"plugin=rebellions", false},
        selector_case{"type=npu", true}, selector_case{"!auto", false}));

TEST(Selector, AutoIsEverything) {
  EXPECT_TRUE(selector::parse("auto")->everything());
  EXPECT_TRUE(selector::parse("")->everything());
  EXPECT_FALSE(selector::parse("npu")->everything());
  EXPECT_FALSE(selector::parse("!auto")->everything());
}

TEST(Selector, RefusesWhatItCannotRead) {
  for (const char* text : {",", "npu,", "a||b", "!", "speed=high", "tag="}) {
    const auto parsed = selector::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.failure().code, "selector_malformed");
    EXPECT_EQ(parsed.failure().action, recovery::refuse);
  }
}

TEST(Selector, RefusesBeyondItsLimits) {
  EXPECT_TRUE(selector::parse(std::string(limits::selector_bytes_max, 'a')));
  EXPECT_FALSE(selector::parse(std::string(limits::selector_bytes_max + 1, 'a')));
  std::string many = "a";
  for (std::size_t i = 1; i < limits::selector_terms_max; ++i)
    many += ",a";
  EXPECT_TRUE(selector::parse(many));
  EXPECT_FALSE(selector::parse(many + ",a"));
}

TEST(Selector, PoolsStandForTheirSelectors) {
  const pool_map pools{
      {"fast", "npu|gpu"}, {"edge", "node=edge-*"}, {"both", "pool=fast,pool=edge"}};
  device_spec device;
  device.id = device_id{"edge-1/npu0"};
  device.node = node_id{"edge-1"};
  device.type = resource_type::npu;
  EXPECT_TRUE(selector::parse("pool=both", pools)->matches(device));
  EXPECT_FALSE(selector::parse("!pool=both", pools)->matches(device));
  EXPECT_FALSE(selector::parse("pool=both", pools)->everything());
  device.node = node_id{"rack"};
  EXPECT_FALSE(selector::parse("pool=both", pools)->matches(device));
  EXPECT_TRUE(selector::parse("pool=both|pool=fast", pools)->matches(device));
}

TEST(Selector, PoolsThatCannotBeAreRefused) {
  const auto refusal = [](const char* text, const pool_map& pools) {
    const auto parsed = selector::parse(text, pools);
    return parsed ? std::string() : parsed.failure().message;
  };
  EXPECT_NE(refusal("pool=x", {{"fast", "npu"}, {"near", "cpu"}}).find("; there are fast, near;"),
            std::string::npos)
      << refusal("pool=x", {{"fast", "npu"}, {"near", "cpu"}});
  EXPECT_NE(refusal("pool=x", {}).find("; there is none;"), std::string::npos);
  pool_map many;
  for (char one = 'a'; one <= 'z'; ++one)
    many[std::string(1, one)] = "npu";
  EXPECT_NE(refusal("pool=xx", many).find("o, p and 10 more;"), std::string::npos);
  EXPECT_NE(refusal("pool=fsat", {{"fast", "npu"}}).find("did you mean"), std::string::npos)
      << refusal("pool=fsat", {{"fast", "npu"}});
  EXPECT_NE(refusal("pool=a", {{"a", "pool=b"}, {"b", "pool=a"}}).find("contains itself"),
            std::string::npos);
  pool_map deep{{"p0", "npu"}};
  for (std::size_t at = 1; at <= limits::pool_depth_max; ++at)
    deep["p" + std::to_string(at)] = "pool=p" + std::to_string(at - 1);
  const auto last = "pool=p" + std::to_string(limits::pool_depth_max - 1);
  EXPECT_TRUE(selector::parse(last, deep));
  EXPECT_FALSE(selector::parse("pool=p" + std::to_string(limits::pool_depth_max), deep));
  std::string wide = "npu";
  for (std::size_t at = 1; at < limits::selector_terms_max; ++at)
    wide += "|npu";
  EXPECT_TRUE(selector::parse(wide));
  EXPECT_FALSE(selector::parse("pool=w", {{"w", wide}})) << "terms count over all pools";
}

TEST(Glob, MatchesRunsAndSingles) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*b*c", "axxbyyc"));
  EXPECT_TRUE(glob_matches("**x", "aax"));
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_FALSE(glob_matches("a*b", "abx"));
}

} // namespace

} // namespace consort::core
