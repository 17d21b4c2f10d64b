// SPDX-License-Identifier: Apache-2.0
#include "node/model_files.hpp"
#include "node/model_folder.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace consort::node {
namespace {

using ::testing::HasSubstr;

const char* const llama_config
    = R"({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
  "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"})";

class ModelFolder : public ::testing::Test {
protected:
  ModelFolder() {
    folder.write("m/config.json", llama_config);
    folder.write("m/model-00001-of-00002.safetensors", "weights");
    folder.write("m/model-00002-of-00002.safetensors", "more");
    folder.write("m/tokenizer.json", "{}");
    folder.write("m/.cache", "not looked at");
  }
  [[nodiscard]] std::string path() const { return folder / "m"; }
  [[nodiscard]] std::string complaint() {
    const auto made = describe_model_folder(path(), digests);
    return made ? "accepted" : made.failure().message;
  }
  test::temp_folder folder;
  digest_cache digests;
  weight_reader elsewhere{hub_settings{}};
};

TEST_F(ModelFolder, IsAVariantLikeAnyFile) {
  model_spec declared;
  declared.name = model_name("big");
  declared.variants.emplace_back().source = path();
  const auto described = describe_model(declared, digests, elsewhere);
  ASSERT_TRUE(described.ok()) << described.failure().message;
  const auto& variant = described->variants.front();
  EXPECT_EQ(variant.format, "safetensors");
  EXPECT_EQ(variant.source, path());
  EXPECT_EQ(variant.weight_bytes, 11U);
  EXPECT_EQ(variant.kv_bytes_per_token, 2U * 32 * 8 * 128 * 2);
  EXPECT_EQ(variant.context_tokens, 131'072U);
  EXPECT_EQ(variant.quantization, "bfloat16");
  EXPECT_EQ(variant.shape, "llama-l32-d4096-i14336-h32-k8-v128256");
  EXPECT_EQ(variant.tokenizer, hash_text("{}"));
  EXPECT_EQ(variant.content, *digest_of_folder(path(), digests));
}

TEST_F(ModelFolder, LinkThatLeadsNowhereIsPassedBy) {
  const auto before = digest_of_folder(path(), digests);
  std::filesystem::create_symlink("nowhere", path() + "/zzz.json");
  EXPECT_EQ(*digest_of_folder(path(), digests), *before);
  EXPECT_EQ(complaint(), "accepted");
}

TEST_F(ModelFolder, IsAnotherOneWhenAnyFileIs) {
  const auto before = digest_of_folder(path(), digests);
  folder.write("m/.cache", "still not looked at");
  EXPECT_EQ(*digest_of_folder(path(), digests), *before);
  folder.write("m/model-00002-of-00002.safetensors", "others");
  EXPECT_NE(*digest_of_folder(path(), digests), *before);
}

TEST_F(ModelFolder, ItsFilesSayItsFormat) {
  for (const auto* name :
       {"m/model-00001-of-00002.safetensors", "m/model-00002-of-00002.safetensors"})
    std::filesystem::remove(folder / name);
  folder.write("m/pytorch_model.bin", "of no use");
  EXPECT_THAT(complaint(), HasSubstr("no *.safetensors"));
  folder.write("m/openvino_model.bin", "four");
  EXPECT_EQ(describe_model_folder(path(), digests)->format, "openvino");
  folder.write("m/model.onnx", "seven77");
  const auto described = describe_model_folder(path(), digests);
  EXPECT_EQ(described->format, "onnx");
  EXPECT_EQ(described->weight_bytes, 7U);
}

TEST_F(ModelFolder, SaysWhatItLacks) {
  folder.write("m/config.json", R"({"hidden_size": 1})");
  EXPECT_THAT(complaint(), HasSubstr("`model_type`"));
  folder.write("m/config.json", std::string(limits::model_config_bytes_max + 1, ' '));
  EXPECT_THAT(complaint(), HasSubstr("config.json: missing, or larger"));
  folder.write("m/config.json", llama_config);
  for (const auto* name :
       {"m/model-00001-of-00002.safetensors", "m/model-00002-of-00002.safetensors"})
    folder.write(name, "");
  EXPECT_THAT(complaint(), HasSubstr("no *.safetensors"));
  for (std::size_t at = 0; at <= limits::model_folder_files_max; ++at)
    folder.write("m/f" + std::to_string(at), "");
  EXPECT_THAT(complaint(), HasSubstr("more than 4096 files"));
}

} // namespace
} // namespace consort::node
