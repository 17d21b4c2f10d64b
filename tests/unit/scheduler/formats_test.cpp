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

/// Where no format fits, more devices for one instance would help nobody.
TEST(Formats, TooFewDevicesAreAReasonOnlyWhereAFormatFits) {
  model_spec model;
  model.devices_per_instance = 2;
  model.variants.emplace_back();
  model.variants.back().format = "gguf";
  device_spec device;
  device.capability.devices_max = 1;
  device.capability.formats = {"onnx"};
  EXPECT_EQ(unfit_words(model, device), "");
  device.capability.formats.push_back("gguf");
  EXPECT_NE(unfit_words(model, device).find("at most 1 device"), std::string::npos);
}

} // namespace
} // namespace consort::core
