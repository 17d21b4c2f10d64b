// SPDX-License-Identifier: Apache-2.0
#include "scheduler/formats.hpp"

#include <gtest/gtest.h>

namespace consort::core {
namespace {

TEST(Formats, AStarStandsForWhateverIsThere) {
  for (const auto& [pattern, format] : {std::pair{"server/*", "server/x"},
                                        {"server/*/*", "server/org/model"},
                                        {"server/*/*", "server//models/x"},
                                        {"server/gpt-*", "server/gpt-4o"},
                                        {"a*c", "abcc"},
                                        {"*", "x"}})
    EXPECT_TRUE(fits_format(pattern, format)) << pattern << " " << format;
  for (const auto& [pattern, format] : {std::pair{"server/*", "server/"},
                                        {"server/*/*", "server/gpt-4o"},
                                        {"a*c", "ac"},
                                        {"a*b*c", "abc"},
                                        {"*", ""},
                                        {"a*", "b"}})
    EXPECT_FALSE(fits_format(pattern, format)) << pattern << " " << format;
}

TEST(Formats, OneOfTheListIsEnough) {
  EXPECT_TRUE(runs_format({"gguf", "server/*"}, "gguf"));
  EXPECT_TRUE(runs_format({"gguf", "server/*"}, "server/x"));
  EXPECT_FALSE(runs_format({"gguf", "server/*"}, "safetensors"));
  EXPECT_FALSE(runs_format({}, "gguf"));
}

} // namespace
} // namespace consort::core
