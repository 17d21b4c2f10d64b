// SPDX-License-Identifier: Apache-2.0
#include "node/gguf.hpp"

#include "node/gguf_reader.hpp"

#include "tests/unit/node/temp_folder.hpp"

#include <cstring>
#include <random>

namespace consort::node {
namespace {

using test::read_file;
using test::temp_folder;

const std::string& storyteller() {
  static const std::string path
      = std::string(CONSORT_SOURCE_DIR) + "/models/storyteller-5m-f16.gguf";
  return path;
}

result<gguf_info> inspect(const std::string& bytes, std::uint64_t file_bytes = 0) {
  return inspect_gguf(std::as_bytes(std::span(bytes)), file_bytes);
}

/// Writes GGUF files piece by piece, right or wrong.
class gguf_writer {
public:
  template <class Number>
  gguf_writer& number(Number value) {
    std::string raw(sizeof value, '\0');
    std::memcpy(raw.data(), &value, sizeof value);
    bytes += raw;
    return *this;
  }
  gguf_writer& text(const std::string& value) {
    number<std::uint64_t>(value.size());
    bytes += value;
    return *this;
  }
  gguf_writer& head(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    bytes += "GGUF";
    return number(version).number(tensors).number(keys);
  }
  gguf_writer& u32(const std::string& key, std::uint32_t value) {
    return text(key).number<std::uint32_t>(4).number(value);
  }
  gguf_writer& word(const std::string& key, const std::string& value) {
    return text(key).number<std::uint32_t>(8).text(value);
  }
  gguf_writer& tokens(std::uint64_t count) {
    text("tokenizer.ggml.tokens").number<std::uint32_t>(9).number<std::uint32_t>(8).number(count);
    for (std::uint64_t i = 0; i < count; ++i)
      text("t");
    return *this;
  }
  gguf_writer& tensor(const std::string& name, std::uint64_t size, std::uint32_t type,
                      std::uint64_t offset) {
    return text(name).number<std::uint32_t>(1).number(size).number(type).number(offset);
  }
  /// Eight keys that make a plausible model of 2 layers.
  gguf_writer& model() {
    return word("general.architecture", "llama")
        .u32("llama.context_length", 64)
        .u32("llama.embedding_length", 8)
        .u32("llama.block_count", 2)
        .u32("llama.attention.head_count", 4)
        .u32("llama.attention.head_count_kv", 2)
        .word("tokenizer.chat_template", "{{ x }}")
        .tokens(3);
  }
  gguf_writer& data(std::size_t size) {
    bytes.resize((bytes.size() + 31) / 32 * 32 + size);
    return *this;
  }
  std::string bytes;
};

std::string small_model() {
  return gguf_writer()
      .head(2, 8)
      .model()
      .tensor("a", 8, 0, 0)
      .tensor("b", 16, 1, 32)
      .data(64)
      .bytes;
}

TEST(Gguf, DescribesTheShippedModel) {
  const auto info = inspect_gguf_file(storyteller());
  ASSERT_TRUE(info.ok()) << info.failure().message;
  EXPECT_EQ(info->architecture, "llama");
  EXPECT_EQ(info->context_tokens, 512U);
  EXPECT_EQ(info->quantization, "f16");
  EXPECT_EQ(info->vocabulary, 2048U);
  EXPECT_FALSE(info->has_chat_template);
  EXPECT_TRUE(is_digest(info->tokenizer.value));
  EXPECT_TRUE(info->chat_template.empty());
  EXPECT_EQ(info->kv_bytes_per_token,
            info->layers * info->kv_heads * (info->embedding / info->heads) * 2 * 2);
  EXPECT_LT(info->weight_bytes, std::filesystem::file_size(storyteller()));
  EXPECT_GT(info->weight_bytes, std::filesystem::file_size(storyteller()) * 9 / 10);
}

/// Only of tokenizers that lose nothing of a text.
TEST(Gguf, SaysHowMuchOfATextOneTokenStandsForAtMost) {
  const auto longest = [](const std::string& kind) {
    gguf_writer made;
    made.head(2, kind.empty() ? 8 : 9).model();
    if (!kind.empty())
      made.word("tokenizer.ggml.model", kind);
    const auto bytes = made.tensor("a", 8, 0, 0).tensor("b", 16, 1, 32).data(64).bytes;
    const auto info = inspect_gguf(std::as_bytes(std::span(bytes)));
    EXPECT_TRUE(info.ok()) << info.failure().message;
    return info.ok() ? variant_of(*info, "m.gguf", {}).token_bytes_max : 99;
  };
  EXPECT_EQ(longest("gpt2"), 1U);
  EXPECT_EQ(longest("llama"), 1U);
  EXPECT_EQ(longest("t5"), 0U);
  EXPECT_EQ(longest("bert"), 0U);
  EXPECT_EQ(longest(""), 0U);
  EXPECT_GT(inspect_gguf_file(storyteller())->token_bytes_max, 4U);
}

TEST(Gguf, DescribesAVariantWithItsDigest) {
  digest_cache digests;
  const auto variant = describe_gguf(storyteller(), digests);
  ASSERT_TRUE(variant.ok()) << variant.failure().message;
  EXPECT_EQ(variant->content, *hash_file(storyteller()));
  EXPECT_EQ(variant->format, "gguf");
  EXPECT_EQ(variant->source, storyteller());
  EXPECT_TRUE(variant->shape.starts_with("llama-l"));
}

TEST(Gguf, ReadsAHandMadeModel) {
  const auto info = inspect(small_model());
  ASSERT_TRUE(info.ok()) << info.failure().message;
  EXPECT_EQ(info->shape, "llama-l2-d8-h4-k2-v3");
  EXPECT_EQ(info->kv_bytes_per_token, 2U * 2 * (2 + 2) * 2);
  EXPECT_EQ(info->weight_bytes, 64U);
  EXPECT_TRUE(info->has_chat_template);
  EXPECT_EQ(info->chat_template, hash_text("{{ x }}"));
}

/// Goal: no cut of a real file is taken for a whole one. All of the first bytes, then spread out.
TEST(Gguf, EveryTruncationIsRefused) {
  const auto whole = read_file(storyteller());
  std::size_t step = 1;
  for (std::size_t size = 0; size < whole.size(); size += step) {
    const auto info = inspect_gguf(std::as_bytes(std::span(whole).first(size)));
    ASSERT_FALSE(info.ok()) << "cut at " << size;
    EXPECT_EQ(info.failure().code, "bad_model");
    EXPECT_EQ(info.failure().action, recovery::refuse);
    step = size < 512 ? 1 : 9973;
  }
}

/// Goal: no damage of the table of contents crashes or is accepted with figures out of bounds.
TEST(Gguf, FlippedBytesNeverBreakTheChecker) {
  const auto whole = read_file(storyteller());
  std::mt19937 draw(7);
  std::uint32_t refused = 0;
  for (int round = 0; round < 300; ++round) {
    auto damaged = whole.substr(0, 128 * 1024);
    const auto flips = 1 + draw() % 4;
    for (std::uint32_t i = 0; i < flips; ++i)
      damaged[draw() % (round % 2 == 0 ? 1024 : damaged.size())]
          ^= static_cast<char>(1U << draw() % 8);
    const auto info = inspect(damaged, whole.size());
    refused += info.ok() ? 0 : 1;
    if (info.ok()) {
      EXPECT_LE(info->weight_bytes, whole.size());
    }
  }
  EXPECT_GT(refused, 50U);
}

struct hostile_case {
  const char* name;
  std::string bytes;
  const char* complaint;
};

void expect_refused(const std::vector<hostile_case>& cases) {
  for (const auto& one : cases) {
    const auto info = inspect(one.bytes);
    ASSERT_FALSE(info.ok()) << one.name;
    EXPECT_NE(info.failure().message.find(one.complaint), std::string::npos)
        << one.name << ": " << info.failure().message;
    EXPECT_TRUE(info.failure().message.starts_with("offset ")) << one.name;
  }
}

TEST(Gguf, NamesOffsetAndFieldOfAHostileTableOfContents) {
  const std::uint64_t huge = ~std::uint64_t{0};
  expect_refused({
      {"empty", "", "offset 0: magic"},
      {"not gguf", "PK\3\4 something else entirely", "not a GGUF file"},
      {"version", gguf_writer().head(1, 1, 99).bytes, "version: 99"},
      {"version 1", gguf_writer().head(1, 1, 1).bytes, "version: 1"},
      {"too many tensors", gguf_writer().head(huge, 1).bytes, "tensor count"},
      {"one tensor too many", gguf_writer().head(limits::gguf_tensors_max + 1, 1).bytes,
       "tensor count"},
      {"too many keys", gguf_writer().head(1, limits::gguf_keys_max + 1).bytes, "key count"},
      {"long key", gguf_writer().head(1, 1).number(limits::gguf_name_bytes_max + 1).bytes, "key"},
      {"endless key", gguf_writer().head(1, 1).number(huge).bytes, "string of"},
      {"unknown type", gguf_writer().head(1, 1).text("k").number<std::uint32_t>(77).bytes,
       "k: unknown value type 77"},
      {"long text",
       gguf_writer()
           .head(1, 1)
           .text("k")
           .number<std::uint32_t>(8)
           .number(limits::gguf_string_bytes_max + 1)
           .bytes,
       "k: string of"},
      {"huge array",
       gguf_writer()
           .head(1, 1)
           .text("k")
           .number<std::uint32_t>(9)
           .number<std::uint32_t>(4)
           .number(limits::gguf_array_items_max + 1)
           .bytes,
       "k: array of"},
      {"array past the end",
       gguf_writer()
           .head(1, 1)
           .text("k")
           .number<std::uint32_t>(9)
           .number<std::uint32_t>(10)
           .number(limits::gguf_array_items_max)
           .bytes,
       "bytes are left in the file"},
      {"array of arrays",
       gguf_writer()
           .head(1, 1)
           .text("k")
           .number<std::uint32_t>(9)
           .number<std::uint32_t>(9)
           .number<std::uint64_t>(1)
           .bytes,
       "array of arrays"},
      {"duplicate key", gguf_writer().head(1, 2).u32("k", 1).u32("k", 1).bytes, "duplicate key"},
  });
}

TEST(Gguf, NamesOffsetAndFieldOfHostileTensors) {
  const std::uint64_t huge = ~std::uint64_t{0};
  const auto start = [](std::uint64_t tensors) { return gguf_writer().head(tensors, 8).model(); };
  expect_refused({
      {"no architecture", gguf_writer().head(1, 1).u32("k", 1).tensor("a", 8, 0, 0).data(32).bytes,
       "general.architecture"},
      {"bad alignment",
       gguf_writer().head(1, 1).u32("general.alignment", 3).tensor("a", 8, 0, 0).data(32).bytes,
       "power of two"},
      {"alignment over the limit",
       gguf_writer().head(1, 1).u32("general.alignment", limits::gguf_alignment_max * 2).bytes,
       "general.alignment"},
      {"unknown number type", start(1).tensor("a", 8, 5, 0).data(64).bytes,
       "unknown number type 5"},
      {"broken block", start(1).tensor("a", 8, 8, 0).data(64).bytes, "whole blocks of 32"},
      {"zero size", start(1).tensor("a", 0, 0, 0).data(64).bytes, "zero or overflow"},
      {"size overflow", start(1).tensor("a", huge, 0, 0).data(64).bytes, "zero or overflow"},
      {"unaligned", start(1).tensor("a", 8, 0, 16).data(64).bytes, "not aligned"},
      {"offset past the end", start(1).tensor("a", 8, 0, huge - 31).data(64).bytes, "truncated"},
      {"overlap", start(2).tensor("a", 16, 0, 0).tensor("b", 8, 0, 32).data(64).bytes, "overlaps"},
      {"same name", start(2).tensor("a", 8, 0, 0).tensor("a", 8, 0, 32).data(64).bytes,
       "duplicate tensor"},
      {"long tensor name",
       start(1).tensor(std::string(limits::gguf_tensor_name_bytes_max + 1, 'n'), 8, 0, 0).bytes,
       "tensor name"},
  });
}

TEST(Gguf, RefusesImplausibleFigures) {
  const auto model = [](std::uint32_t heads, std::uint32_t kv, std::uint32_t layers) {
    return inspect(gguf_writer()
                       .head(1, 7)
                       .word("general.architecture", "llama")
                       .u32("llama.context_length", 64)
                       .u32("llama.embedding_length", 8)
                       .u32("llama.block_count", layers)
                       .u32("llama.attention.head_count", heads)
                       .u32("llama.attention.head_count_kv", kv)
                       .tokens(3)
                       .tensor("a", 8, 0, 0)
                       .data(32)
                       .bytes);
  };
  EXPECT_TRUE(model(4, 2, 2).ok());
  EXPECT_FALSE(model(0, 0, 2).ok());
  EXPECT_FALSE(model(16, 2, 2).ok()) << "more heads than embedding";
  EXPECT_FALSE(model(4, 8, 2).ok()) << "more KV heads than heads";
  EXPECT_FALSE(model(4, 2, 0).ok());
  EXPECT_FALSE(model(4, 2, 1'000'000).ok());
}

/// An engine that binds an architecture serves all models of one shape: what it has built in must
/// tell shapes apart.
TEST(Gguf, WidthAndExpertsAreOfTheShape) {
  const auto shape = [](std::uint32_t width, std::uint32_t experts) {
    const auto info = inspect(gguf_writer()
                                  .head(1, 10)
                                  .model()
                                  .u32("llama.feed_forward_length", width)
                                  .u32("llama.expert_count", experts)
                                  .tensor("a", 8, 0, 0)
                                  .data(32)
                                  .bytes);
    return info.ok() ? info->shape : info.failure().message;
  };
  EXPECT_EQ(shape(16, 0), "llama-l2-d8-i16-h4-k2-v3");
  EXPECT_EQ(shape(24, 0), "llama-l2-d8-i24-h4-k2-v3");
  EXPECT_EQ(shape(16, 4), "llama-l2-d8-i16-e4-h4-k2-v3");
  const auto by_layer = [](std::uint32_t first, std::uint32_t second) {
    const auto info = inspect(gguf_writer()
                                  .head(1, 9)
                                  .model()
                                  .text("llama.feed_forward_length")
                                  .number<std::uint32_t>(9)
                                  .number<std::uint32_t>(4)
                                  .number<std::uint64_t>(2)
                                  .number(first)
                                  .number(second)
                                  .tensor("a", 8, 0, 0)
                                  .data(32)
                                  .bytes);
    return info.ok() ? info->shape : info.failure().message;
  };
  EXPECT_EQ(by_layer(16, 16), shape(16, 0));
  EXPECT_EQ(by_layer(8, 16), "llama-l2-d8-i16s24-h4-k2-v3");
}

TEST(Gguf, RefusesATokenizerThatDisagreesWithItself) {
  const auto scores = [](std::uint64_t count) {
    gguf_writer file;
    file.head(1, 9)
        .model()
        .text("tokenizer.ggml.scores")
        .number<std::uint32_t>(9)
        .number<std::uint32_t>(6)
        .number(count);
    for (std::uint64_t i = 0; i < count; ++i)
      file.number(0.0F);
    return inspect(file.tensor("a", 8, 0, 0).data(32).bytes);
  };
  EXPECT_TRUE(scores(3).ok());
  EXPECT_FALSE(scores(2).ok());
  const auto eos = [](std::uint32_t id) {
    return inspect(gguf_writer()
                       .head(1, 9)
                       .model()
                       .u32("tokenizer.ggml.eos_token_id", id)
                       .tensor("a", 8, 0, 0)
                       .data(32)
                       .bytes);
  };
  EXPECT_TRUE(eos(2).ok());
  EXPECT_FALSE(eos(3).ok());
}

TEST(Gguf, RefusesATableOfContentsAboveItsLimit) {
  // The file claims to be larger than what was read of it.
  const auto info = inspect(gguf_writer().head(1, 8).model().bytes, std::uint64_t{1} << 40U);
  ASSERT_FALSE(info.ok());
  EXPECT_NE(info.failure().message.find("table of contents is larger"), std::string::npos);
}

TEST(Gguf, AMissingOrStrangeFileIsAnErrorValue) {
  const temp_folder folder;
  EXPECT_EQ(inspect_gguf_file(folder / "none").failure().code, "file_missing");
  EXPECT_EQ(inspect_gguf_file(folder.path()).failure().code, "file_missing");
  EXPECT_EQ(inspect_gguf_file(folder.write("empty", "")).failure().code, "bad_model");
}

TEST(FileDigest, IsSha256) {
  EXPECT_EQ(hash_text("abc").value,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(is_digest(hash_text("").value));
  EXPECT_FALSE(is_digest("../../etc/passwd"));
  EXPECT_FALSE(is_digest(std::string(64, 'A')));
}

TEST(DigestCache, RehashesOnlyAChangedFile) {
  const temp_folder folder;
  const auto path = folder.write("model", "one");
  digest_cache cache(folder / "digests.json");
  EXPECT_EQ(cache.digest_of(path)->value, hash_text("one").value);
  folder.write("model", "other");
  EXPECT_EQ(cache.digest_of(path)->value, hash_text("other").value);
  EXPECT_FALSE(cache.digest_of(folder / "none").ok());
}

TEST(DigestCache, RemembersAcrossRestartsAndIgnoresAnUnreadableCache) {
  const temp_folder folder;
  const auto path = folder.write("model", "one");
  const auto cache_path = folder / "digests.json";
  ASSERT_TRUE(digest_cache(cache_path).digest_of(path).ok());
  // A planted digest proves that the second cache did not hash again.
  auto text = read_file(cache_path);
  const auto real = hash_text("one").value, planted = std::string(64, 'a');
  text.replace(text.find(real), real.size(), planted);
  folder.write("digests.json", text);
  EXPECT_EQ(digest_cache(cache_path).digest_of(path)->value, planted);
  folder.write("digests.json", "[1, {");
  EXPECT_EQ(digest_cache(cache_path).digest_of(path)->value, real);
}

TEST(DigestCache, ForgetsBeyondItsLimit) {
  const temp_folder folder;
  auto text = std::string("{");
  for (std::size_t i = 0; i < limits::digest_cache_entries_max; ++i)
    text += (i == 0 ? "" : ",") + ("\"/x" + std::to_string(i)) + "\":[1,1,1,\""
            + std::string(64, 'a') + "\"]";
  const auto cache_path = folder.write("digests.json", text + "}");
  ASSERT_TRUE(digest_cache(cache_path).digest_of(folder.write("model", "one")).ok());
  const auto root = read_file(cache_path);
  std::size_t entries = 0;
  for (auto at = root.find("\"/"); at != std::string::npos; at = root.find("\"/", at + 1))
    ++entries;
  EXPECT_EQ(entries, limits::digest_cache_entries_max);
}

} // namespace
} // namespace consort::node
