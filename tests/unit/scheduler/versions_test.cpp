// SPDX-License-Identifier: Apache-2.0
#include "scheduler/versions.hpp"

#include <gtest/gtest.h>

namespace consort::core {
namespace {

TEST(Versions, AreComparedByTheirNumbers) {
  EXPECT_TRUE(older_version("3.9", "3.10"));
  EXPECT_TRUE(older_version("3", "3.0.1"));
  EXPECT_TRUE(older_version("2.99.99", "3"));
  EXPECT_FALSE(older_version("3.0", "3"));
  EXPECT_FALSE(older_version("3", "3.0"));
  EXPECT_FALSE(older_version("3.1", "3.1"));
  EXPECT_FALSE(older_version("3.2", "3.1"));
}

TEST(Versions, OfWhatIsNoVersionNothingIsSaid) {
  for (const auto* bad : {"", ".", "3.", ".3", "3..1", "v3", "3.1-rc1", "-3", "3.99999999999"}) {
    EXPECT_TRUE(version_parts(bad).empty()) << bad;
    EXPECT_FALSE(older_version(bad, "9.9")) << bad;
    EXPECT_FALSE(older_version("0.1", bad)) << bad;
    EXPECT_FALSE(runs_older(older_engines::any, bad, "9.9")) << bad;
  }
}

TEST(Versions, ARuleSaysHowMuchMustAgree) {
  struct rule_case {
    older_engines rule;
    const char* older;
    const char* version;
    bool runs;
  };
  for (const auto& [rule, older, version, runs] :
       {rule_case{older_engines::none, "3.1.1", "3.1.2", false},
        {older_engines::minor, "3.1.1", "3.1.2", true},
        {older_engines::minor, "3.0.9", "3.1.0", false},
        {older_engines::minor, "3", "3.0.1", true},
        {older_engines::major, "3.0.9", "3.1.0", true},
        {older_engines::major, "2.9", "3.0", false},
        {older_engines::any, "1", "3.0", true},
        {older_engines::any, "3.1", "3.0", false},
        {older_engines::any, "3.0", "3.0", false}})
    EXPECT_EQ(runs_older(rule, older, version), runs) << older << " by " << version;
}

} // namespace
} // namespace consort::core
