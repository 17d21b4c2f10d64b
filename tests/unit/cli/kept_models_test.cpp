// SPDX-License-Identifier: Apache-2.0
// Models that were added at run time, from one scheduler life to the next.
#include "cli/kept_models.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

model_spec spec_of(const std::string& name) {
  model_spec spec;
  spec.name = model_name(name);
  spec.aliases = {model_name(name + "-too")};
  spec.replicas_max = 2;
  auto& variant = spec.variants.emplace_back();
  variant.format = "gguf";
  variant.source = "/models/" + name + ".gguf";
  variant.content = digest(std::string(64, 'a'));
  variant.shape = "llama-l6-d256-i688-v2048";
  variant.weight_bytes = 10'000'000;
  variant.context_tokens = 512;
  variant.adapters = {{model_name(name + "-tales"), "/lora", digest(std::string(64, 'b')), 8}};
  return spec;
}

TEST(KeptModels, ComeBackAsTheyWereDescribed) {
  const auto kept = models_to_keep({spec_of("a"), spec_of("b")}, {});
  EXPECT_EQ(kept.size(), 2U);
  const auto back = restore_models(kept, {});
  EXPECT_EQ(back.models, (std::vector<model_spec>{spec_of("a"), spec_of("b")}));
  EXPECT_TRUE(back.left_out.empty());
}

TEST(KeptModels, AnOldNameOfAnArchitectureSharesNoEngines) {
  auto spec = spec_of("a");
  spec.variants[0].shape = "llama-l6-d256-v2048"; // As long as it did not say how wide it is.
  const auto back = restore_models(models_to_keep({spec}, {}), {});
  ASSERT_EQ(back.models.size(), 1U);
  EXPECT_EQ(back.models[0].variants[0].shape, "");
  spec.variants[0].format = "safetensors";
  EXPECT_EQ(restore_models(models_to_keep({spec}, {}), {}).models[0], spec);
}

TEST(KeptModels, TheConfigurationsAreReadThere) {
  const auto kept = models_to_keep({spec_of("a"), spec_of("b")}, {"a"});
  EXPECT_EQ(kept.size(), 1U);
  EXPECT_TRUE(kept.contains("b"));
}

TEST(KeptModels, TheConfigurationGoesBeforeOneOfItsNameAndThatIsSaid) {
  const auto back = restore_models(models_to_keep({spec_of("a"), spec_of("b")}, {}), {"b"});
  ASSERT_EQ(back.models.size(), 1U);
  EXPECT_EQ(back.models[0].name, model_name("a"));
  ASSERT_EQ(back.left_out.size(), 1U);
  EXPECT_EQ(back.left_out[0], "model b was added at run time, too: the configuration's is served");
}

TEST(KeptModels, WhatCannotBeReadIsLeftOutAndSaid) {
  const auto back = restore_models({{"cut", "{\"name\":"}, {"odd", R"({"name":"odd","x":1})"}}, {});
  EXPECT_TRUE(back.models.empty());
  ASSERT_EQ(back.left_out.size(), 2U);
  EXPECT_NE(back.left_out[0].find("model cut"), std::string::npos);
  EXPECT_NE(back.left_out[1].find("add it again"), std::string::npos);
}

TEST(KeptModels, OfTheConfigurationThatAreDeclaredNoMoreWereTakenOut) {
  EXPECT_EQ(models_taken_out({spec_of("a"), spec_of("c")}, {"a", "b"}),
            (std::set<std::string>{"b"}));
  EXPECT_TRUE(models_taken_out({spec_of("a")}, {"a"}).empty());
}

} // namespace
} // namespace consort::cli
