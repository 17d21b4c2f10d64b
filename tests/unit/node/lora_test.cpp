// SPDX-License-Identifier: Apache-2.0
#include "node/lora.hpp"

#include "node/model_files.hpp"
#include "tests/unit/node/fake_hub.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <filesystem>
#include <fstream>

namespace consort::node {
namespace {

/// A file of that format, whose table names no tensor.
std::string safetensors_file(const std::string& word) {
  const auto table = R"({"__metadata__":{"word":")" + word + R"("}})";
  std::string length(8, '\0');
  length[0] = static_cast<char>(table.size());
  return length + table;
}

/// The head of a GGUF file that says what it is, and nothing else.
std::string gguf_of_type(const std::string& type) {
  const auto number = [](std::uint64_t value, std::size_t bytes) {
    std::string out;
    for (std::size_t at = 0; at < bytes; ++at)
      out += static_cast<char>((value >> (8 * at)) & 0xffU);
    return out;
  };
  const std::string key = "general.type";
  return "GGUF" + number(3, 4) + number(1, 8) + number(1, 8) + number(key.size(), 8) + key
         + number(8, 4) + number(type.size(), 8) + type;
}

class Lora : public ::testing::Test {
protected:
  std::string trained(const std::string& name, const std::string& config) {
    const auto path = folder_.path() + "/" + name;
    std::filesystem::create_directories(path);
    std::ofstream(path + "/adapter_config.json") << config;
    std::ofstream(path + "/adapter_model.safetensors") << safetensors_file(name);
    return path;
  }
  [[nodiscard]] model_adapter described(const std::string& source) {
    const auto made = describe_adapter({model_name("tales"), source, {}, 0}, digests_, elsewhere_);
    EXPECT_TRUE(made) << made.failure().message;
    return made ? *made : model_adapter{};
  }
  [[nodiscard]] std::string refused(const std::string& source) {
    const auto made = describe_adapter({model_name("tales"), source, {}, 0}, digests_, elsewhere_);
    return made ? std::string("accepted") : made.failure().code;
  }

  hub_settings settings() const {
    hub_settings made;
    made.endpoint = hub_.endpoint();
    made.limits = {20'000'000, 20'000'000, 3, 1'000}; // Times that no busy machine takes.
    return made;
  }
  static result<std::string> nothing_stored(const artifact_key&) {
    return error{recovery::retry_later, "artifact_missing", "it is not in the store"};
  }

  test::temp_folder folder_;
  test::fake_hub hub_{"an adapter's bytes, which no scheduler reads"};
  digest_cache digests_;
  weight_reader elsewhere_{settings(), folder_.path() + "/weights.json"};
};

TEST_F(Lora, IsDescribedByItsFiles) {
  const auto folder = described(trained("a", R"({"peft_type": "LORA", "r": 48})"));
  EXPECT_EQ(folder.rank, 48U);
  EXPECT_EQ(folder.content.value.size(), 64U);
  EXPECT_EQ(described(trained("b", "no JSON")).rank, 0U);
  EXPECT_EQ(described(trained("c", R"({"r": "many"})")).rank, 0U);
  EXPECT_EQ(described(trained("d", R"({"r": 99999999999})")).rank, 512U);
  std::ofstream(folder_.path() + "/one.gguf") << gguf_of_type("adapter");
  EXPECT_EQ(described(folder_.path() + "/one.gguf").content.value.size(), 64U);
  EXPECT_TRUE(described("server:org/tales").content.empty());
}

TEST_F(Lora, OfTheHubOrAnAddressIsKnownByItsDigestAlone) {
  const auto found = described("hf:org/repo");
  EXPECT_EQ(found.source, "hf:org/repo@" + std::string(test::fake_hub::commit) + "/tiny.gguf");
  EXPECT_EQ(found.content, hub_.sha256());
  EXPECT_TRUE(hub_.seen_by_files().empty()) << "not a byte of it was read";
  const auto address = "https://host/tales.gguf#sha256=" + hub_.sha256().value;
  EXPECT_EQ(described(address).source, address);
  EXPECT_EQ(refused("https://host/tales.gguf"), "weights_undigested");
  EXPECT_EQ(refused("hf:org/other"), "weights_missing");
  // As a model the same source is something else.
  EXPECT_EQ(elsewhere_.describe("hf:org/repo/tiny.gguf", digests_).failure().code, "bad_model");
}

TEST_F(Lora, OfElsewhereIsFoundInTheStore) {
  model_variant variant;
  variant.adapters = {described("hf:org/repo"), described("server:org/tales")};
  const auto found = find_adapters(variant, digests_, [&](const artifact_key& wanted) {
    EXPECT_EQ(wanted.binds, hub_.sha256().value);
    return result<std::string>("/store/payload");
  });
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_EQ(found->at(0).path, "/store/payload");
  EXPECT_EQ(find_adapters(variant, digests_, nothing_stored).failure().code, "artifact_missing");
}

TEST_F(Lora, OfElsewhereThatNothingCouldLoadIsRefusedWhereItIsLoaded) {
  model_variant variant;
  variant.adapters = {described("hf:org/repo")};
  variant.adapters[0].name = model_name("tales");
  const auto path = folder_.path() + "/payload";
  std::ofstream(path, std::ios::binary) << gguf_of_type("model");
  const auto found = find_adapters(variant, digests_,
                                   [&](const artifact_key&) { return result<std::string>(path); });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.failure().code, "bad_adapter");
  EXPECT_EQ(found.failure().action, recovery::refuse) << "another node has the same";
  EXPECT_NE(found.failure().message.find("adapter `tales` (hf:org/repo"), std::string::npos)
      << found.failure().message;
}

TEST_F(Lora, OfNoPathIsRefused) {
  EXPECT_EQ(refused("server:"), "source_unsupported");
  EXPECT_EQ(refused("tales"), "source_relative");
  EXPECT_EQ(refused(folder_.path() + "/nowhere"), "file_missing");
}

TEST_F(Lora, ThatNothingCouldLoadIsRefusedAtOnce) {
  const auto in = [&](const std::string& name, const std::string& text) {
    const auto path = folder_.path() + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  };
  in("none/adapter_config.json", "{}");
  in("code/adapter_config.json", "{}");
  in("code/adapter_model.bin", "pickled");
  in("bare/adapter_model.safetensors", safetensors_file("x"));
  in("random/adapter_config.json", "{}");
  in("random/adapter_model.safetensors", std::string(4'096, '\xa7'));
  in("short/adapter_config.json", "{}");
  in("short/adapter_model.safetensors", safetensors_file("x").substr(0, 12));
  in("empty/adapter_config.json", "{}");
  in("empty/adapter_model.safetensors", "");
  for (const auto* name : {"none", "code", "bare", "random", "short", "empty"})
    EXPECT_EQ(refused(folder_.path() + "/" + name), "bad_adapter") << name;
  EXPECT_EQ(refused(in("random.safetensors", "0123456789abcdef")), "bad_adapter");
  EXPECT_EQ(refused(in("pickled.bin", "x")), "bad_adapter");
  EXPECT_EQ(refused(in("random.gguf", "no GGUF at all, but long enough")), "bad_adapter");
  EXPECT_EQ(refused(in("model.gguf", gguf_of_type("model"))), "bad_adapter");
  EXPECT_EQ(refused(CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf"), "bad_adapter");
  EXPECT_EQ(refused(in("of-a-vendor.lora", "x")), "accepted") << "only its plugin knows";
}

TEST_F(Lora, OfAServerIsOfAModelThatItHas) {
  model_spec spec;
  spec.name = model_name("m");
  auto& variant = spec.variants.emplace_back();
  variant.source = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";
  variant.adapters = {{model_name("tales"), "server:tales", {}, 0}};
  const auto of_a_file = describe_model(spec, digests_, elsewhere_);
  ASSERT_FALSE(of_a_file);
  EXPECT_EQ(of_a_file.failure().code, "bad_adapter");
  spec.variants[0].source = "server:m";
  EXPECT_TRUE(describe_model(spec, digests_, elsewhere_));
}

TEST_F(Lora, IsFoundAsItWasDeclared) {
  model_variant variant;
  variant.adapters = {described(trained("a", "{}")), described("server:org/tales")};
  const auto found = find_adapters(variant, digests_, nothing_stored);
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_EQ(found->at(0).path, folder_.path() + "/a");
  EXPECT_EQ(found->at(1).path, "org/tales");
  std::ofstream(folder_.path() + "/a/adapter_model.safetensors") << "other weights";
  const auto changed = find_adapters(variant, digests_, nothing_stored);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.failure().code, "model_changed");
}

TEST_F(Lora, ServersAreReadyForTheLargestRank) {
  EXPECT_EQ(rank_for({{model_name("a"), "/a", 0}}), 16U);
  EXPECT_EQ(rank_for({{model_name("a"), "/a", 8}, {model_name("b"), "/b", 33}}), 64U);
  EXPECT_EQ(rank_for({{model_name("a"), "/a", 100'000}}), 512U);
}

TEST_F(Lora, IsDescribedWithItsModel) {
  model_spec spec;
  spec.name = model_name("m");
  auto& variant = spec.variants.emplace_back();
  variant.source = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";
  variant.adapters = {{model_name("tales"), trained("a", R"({"r": 8})"), {}, 0}};
  weight_reader elsewhere{hub_settings{}};
  const auto made = describe_model(spec, digests_, elsewhere);
  ASSERT_TRUE(made) << made.failure().message;
  EXPECT_EQ(made->variants[0].adapters.at(0).rank, 8U);
  spec.variants[0].adapters[0].source = "/nowhere/tales";
  const auto missing = describe_model(spec, digests_, elsewhere);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.failure().message.find("model `m`, adapter `tales`"), std::string::npos);
}

} // namespace
} // namespace consort::node
