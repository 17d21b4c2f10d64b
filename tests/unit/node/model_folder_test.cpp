// SPDX-License-Identifier: Apache-2.0
#include "node/model_files.hpp"
#include "node/model_folder.hpp"
#include "node/safetensors.hpp"
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

/// A file as the format has it: the length of its table, the table, what lies behind it.
std::string file_of(const std::string& table, std::size_t data_bytes) {
  std::string length;
  for (std::size_t at = 0; at < 8; ++at)
    length += static_cast<char>((table.size() >> (8 * at)) & 0xffU);
  return length + table + std::string(data_bytes, 'w');
}

/// With one tensor that ends at `end`.
std::string weights_of(std::size_t end) {
  return file_of(R"({"__metadata__": {"format": "pt"}, "x": {"dtype": "U8", "shape": [)"
                     + std::to_string(end) + R"(], "data_offsets": [0, )" + std::to_string(end)
                     + "]}}",
                 end);
}

const char* const part_one = "m/model-00001-of-00002.safetensors";
const char* const part_two = "m/model-00002-of-00002.safetensors";
const char* const index_name = "m/model.safetensors.index.json";

class ModelFolder : public ::testing::Test {
protected:
  ModelFolder() {
    folder.write("m/config.json", llama_config);
    folder.write(part_one, weights_of(7));
    folder.write(part_two, weights_of(4));
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
  EXPECT_EQ(variant.weight_bytes, weights_of(7).size() + weights_of(4).size());
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
  folder.write(part_two, weights_of(5));
  EXPECT_NE(*digest_of_folder(path(), digests), *before);
}

TEST_F(ModelFolder, ItsFilesSayItsFormat) {
  for (const auto* name : {part_one, part_two})
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
  for (const auto* name : {part_one, part_two})
    folder.write(name, "");
  EXPECT_THAT(complaint(), HasSubstr("no *.safetensors"));
  for (std::size_t at = 0; at <= limits::model_folder_files_max; ++at)
    folder.write("m/f" + std::to_string(at), "");
  EXPECT_THAT(complaint(), HasSubstr("more than 4096 files"));
}

TEST_F(ModelFolder, AllFilesOfItsIndexAreThere) {
  folder.write(index_name, R"({"metadata": {"total_size": 11}, "weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
  EXPECT_EQ(complaint(), "accepted");
  std::filesystem::remove(folder / part_two);
  EXPECT_THAT(complaint(), HasSubstr("/m/model.safetensors.index.json: names "
                                     "`model-00002-of-00002.safetensors`, which is not in"));
  EXPECT_EQ(describe_model_folder(path(), digests).failure().code, "bad_model");
  std::filesystem::create_symlink("nowhere", folder / part_two);
  EXPECT_THAT(complaint(), HasSubstr("which is not in the folder"));
  // Readers take that file, and look at no index.
  folder.write("m/model.safetensors", weights_of(3));
  EXPECT_EQ(complaint(), "accepted");
}

TEST_F(ModelFolder, AnIndexIsNotTakenAtItsWord) {
  for (const auto* text :
       {"", "[]", "{}", "no JSON", R"({"weight_map": 7})", R"({"weight_map": []})",
        R"({"weight_map": {"a": 7}})", R"({"weight_map": {"a": ["b"]}})",
        R"({"weight_map": {"a": {"b": "c"}}})", R"({"metadata": {"weight_map": {}}})",
        R"({"weight_map": {"a": "model-00001-of-00002.safetensors"})"}) {
    folder.write(index_name, text);
    EXPECT_THAT(complaint(), HasSubstr("index.json: expected an object with `weight_map`")) << text;
  }
  for (const auto* text :
       {R"({"weight_map": {"a": "../m/config.json"}})", R"({"weight_map": {"a": "/dev/zero"}})",
        R"({"weight_map": {"a": ""}})"}) {
    folder.write(index_name, text);
    EXPECT_THAT(complaint(), HasSubstr("which is not in the folder")) << text;
  }
  folder.write(index_name, std::string(100'000, '['));
  EXPECT_THAT(complaint(), HasSubstr("expected an object"));
  std::filesystem::resize_file(folder / index_name, limits::safetensors_table_bytes_max + 1);
  EXPECT_THAT(complaint(), HasSubstr("index.json: larger than 100000000 bytes"));
}

TEST_F(ModelFolder, WithoutAnIndexItsPartsSayHowManyThereAre) {
  std::filesystem::remove(folder / part_two);
  EXPECT_THAT(complaint(),
              HasSubstr("has model-00001-of-00002.safetensors and not model-00002-of"));
  folder.write(part_two, weights_of(4));
  std::filesystem::remove(folder / part_one);
  EXPECT_THAT(complaint(), HasSubstr("and not model-00001-of-00002.safetensors"));
  folder.write("m/model-00000-of-00002.safetensors", weights_of(4)); // Counted from zero.
  folder.write("m/other-0001-of-0009.safetensors", weights_of(4));   // Not that form of name.
  folder.write("m/other-00009-of-00003.safetensors", weights_of(4));
  folder.write("m/-of-00003.safetensors", weights_of(4));
  EXPECT_EQ(complaint(), "accepted");
}

TEST_F(ModelFolder, AFileThatIsCutIsNamed) {
  const auto whole = weights_of(1'000);
  for (const auto size : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{30},
                          whole.size() - 1'000, whole.size() - 1}) {
    folder.write(part_two, whole.substr(0, size));
    EXPECT_THAT(complaint(), HasSubstr("/m/model-00002-of-00002.safetensors: truncated at "
                                       + std::to_string(size) + " bytes"));
  }
  folder.write(part_two, whole + "x");
  EXPECT_THAT(complaint(), HasSubstr("tells of 1000 bytes of tensors and there are 1001: damaged"));
  folder.write(part_two, "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_THAT(complaint(), HasSubstr("damaged, or no safetensors file"));
  folder.write("one.safetensors", whole.substr(0, 500));
  EXPECT_THAT(describe_here(folder / "one.safetensors", digests).failure().message,
              HasSubstr("one.safetensors: truncated at 500 bytes"));
  folder.write("one.safetensors", whole);
  EXPECT_TRUE(describe_here(folder / "one.safetensors", digests).ok());
}

TEST_F(ModelFolder, ATableIsNotTakenAtItsWord) {
  const auto said = [](const std::string& table, std::size_t data_bytes) {
    const auto file = file_of(table, data_bytes);
    const auto sound = check_safetensors(file, file.size());
    return sound ? "sound" : sound.failure().message;
  };
  EXPECT_EQ(said("{}", 0), "sound");
  EXPECT_EQ(said(R"({"a": {"data_offsets": [4, 8]}, "b": {"data_offsets": [0, 4]}}  )", 8),
            "sound");
  for (const auto* table : {"",
                            " ",
                            "[]",
                            "7",
                            "{",
                            "{} {}",
                            R"({"a": 7})",
                            R"({"a": [0, 8]})",
                            R"({"a": {}})",
                            R"({"a": {"data_offsets": 8}})",
                            R"({"a": {"data_offsets": {}}})",
                            R"({"a": {"data_offsets": []}})",
                            R"({"a": {"data_offsets": [8]}})",
                            R"({"a": {"data_offsets": [0, 8, 8]}})",
                            R"({"a": {"data_offsets": [8, 0]}})",
                            R"({"a": {"data_offsets": [[0, 8]]}})",
                            R"({"a": {"data_offsets": [0, {}]}})",
                            R"({"a": {"data_offsets": [0, -8]}})",
                            R"({"a": {"data_offsets": [0, 8.0]}})",
                            R"({"a": {"data_offsets": [0, "8"]}})",
                            R"({"a": {"data_offsets": [0, 1e999]}})",
                            R"({"a": {"data_offsets": [0, 18446744073709551616]}})",
                            R"({"a": {"data_offsets": [0, 8], "data_offsets": [0, 8]}})",
                            R"({"a": {"deeper": {"data_offsets": [0, 8]}}})"})
    EXPECT_THAT(said(table, 8), HasSubstr("offset 8: damaged table")) << table;
  EXPECT_THAT(said(R"({"a": {"data_offsets": [0, 18446744073709551615]}})", 8),
              HasSubstr("18446744073709551615 bytes of tensors and there are 8"));
  EXPECT_THAT(said(std::string(100'000, '{'), 0), HasSubstr("damaged table"));
}

TEST_F(ModelFolder, LengthsOfTablesDoNotOverflow) {
  const auto said = [](std::uint64_t table_bytes) {
    std::string length;
    for (std::size_t at = 0; at < 8; ++at)
      length += static_cast<char>((table_bytes >> (8 * at)) & 0xffU);
    return check_safetensors(length + "{}", 10).failure().message;
  };
  for (const auto most : {UINT64_MAX, UINT64_MAX - 7, limits::safetensors_table_bytes_max + 1})
    EXPECT_THAT(said(most), HasSubstr("at most 100000000 are read"));
  EXPECT_THAT(said(limits::safetensors_table_bytes_max),
              HasSubstr("within its table of 100000000"));
  EXPECT_THAT(said(3), HasSubstr("within its table of 3"));
}

TEST_F(ModelFolder, FormatsThatSayNothingOfTheirLengthAreLeftAlone) {
  EXPECT_TRUE(check_model_files(folder.write("x.onnx", "x"), "onnx").ok());
  EXPECT_TRUE(check_model_files(folder / "none.safetensors", "safetensors").ok());
  EXPECT_TRUE(check_model_files(path(), "safetensors").ok());
  folder.write(part_one, "cut");
  EXPECT_FALSE(check_model_files(path(), "safetensors").ok());
  EXPECT_TRUE(check_model_files(path(), "onnx").ok());
}

} // namespace
} // namespace consort::node
