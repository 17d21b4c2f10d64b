// SPDX-License-Identifier: Apache-2.0
#include "node/model_files.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace consort::node {
namespace {

const std::string shipped_model = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";

class ModelFiles : public ::testing::Test {
protected:
  static model_spec declare(const std::string& source) {
    model_spec spec;
    spec.name = model_name("second");
    spec.variants.emplace_back().source = source;
    return spec;
  }
  [[nodiscard]] error failure_of(const model_spec& declared) {
    const auto described = describe_model(declared, digests_, elsewhere_);
    EXPECT_FALSE(described.ok());
    return described ? error{} : described.failure();
  }

  test::temp_folder folder_;
  digest_cache digests_;
  weight_reader elsewhere_{[] {
    hub_settings nowhere;
    nowhere.endpoint = "http://127.0.0.1:1";
    return nowhere;
  }()};
};

TEST_F(ModelFiles, AreDescribedAsTheyAre) {
  auto declared = declare(shipped_model);
  declared.variants[0].quantization = "wishful";
  declared.variants[0].context_tokens = 64;
  const auto described = describe_model(declared, digests_, elsewhere_);
  ASSERT_TRUE(described.ok()) << described.failure().message;
  const auto& variant = described->variants.at(0);
  EXPECT_EQ(variant.format, "gguf");
  EXPECT_EQ(variant.quantization, "f16");
  EXPECT_EQ(variant.content, *hash_file(shipped_model));
  EXPECT_EQ(variant.context_tokens, 64U);
  declared.variants[0].context_tokens = 1'000'000;
  EXPECT_EQ(describe_model(declared, digests_, elsewhere_)->variants.at(0).context_tokens, 512U)
      << "more than the file's own is not to be had";
}

TEST_F(ModelFiles, TruncatedOnesAreRefusedByNameAndReason) {
  const auto path = folder_.path() + "/half.gguf";
  std::filesystem::copy_file(shipped_model, path);
  std::filesystem::resize_file(path, 100'000);
  const auto failure = failure_of(declare(path));
  EXPECT_EQ(failure.code, "bad_model");
  EXPECT_THAT(failure.message, testing::HasSubstr("second"));
  EXPECT_THAT(failure.message, testing::HasSubstr(path));
}

TEST_F(ModelFiles, OfAnotherDigestThanDeclaredAreRefused) {
  auto declared = declare(shipped_model);
  declared.variants[0].content = digest(std::string(64, 'a'));
  EXPECT_EQ(failure_of(declared).code, "model_changed");
}

TEST_F(ModelFiles, MustBeFilesOfThisHostOrFoundElsewhere) {
  EXPECT_EQ(failure_of(declare("hf:org/model")).code, "web_unreachable");
  EXPECT_EQ(failure_of(declare("https://example.org/m.gguf")).code, "weights_undigested");
  EXPECT_EQ(failure_of(declare("models/m.gguf")).code, "source_relative");
  EXPECT_EQ(failure_of(declare(folder_.path())).code, "bad_model") << "a folder of no model";
  EXPECT_EQ(failure_of(declare(folder_.path() + "/none.gguf")).code, "file_missing");
}

TEST_F(ModelFiles, OfOtherFormatsAreCalledByTheirEnding) {
  const auto path = folder_.path() + "/story.cl";
  std::ofstream(path) << "__kernel";
  const auto described = describe_model(declare(path), digests_, elsewhere_);
  ASSERT_TRUE(described.ok()) << described.failure().message;
  const auto& variant = described->variants.at(0);
  EXPECT_EQ(variant.format, "cl");
  EXPECT_EQ(variant.content, hash_text("__kernel"));
  EXPECT_EQ(variant.weight_bytes, 8U);
  EXPECT_EQ(variant.context_tokens, limits::plain_context_tokens);
  const auto here = describe_here(path, digests_);
  ASSERT_TRUE(here) << "as plugin check sees it";
  EXPECT_EQ(*here, variant);
  for (const auto* name :
       {"/none.", "/no-ending", "/odd.!!", "/long.abcdefghijklmnopq", "/a.gguf"}) {
    std::ofstream(folder_.path() + name) << "__kernel";
    EXPECT_EQ(failure_of(declare(folder_.path() + name)).code, "bad_model") << name;
  }
  std::filesystem::copy_file(shipped_model, folder_.path() + "/model.bin");
  EXPECT_EQ(describe_model(declare(folder_.path() + "/model.bin"), digests_, elsewhere_)
                ->variants.at(0)
                .format,
            "gguf");
}

TEST_F(ModelFiles, APipeIsRefusedAtOnce) {
  for (const auto* name : {"/pipe.gguf", "/pipe.cl", "/pipe.sim", "/pipe"}) {
    ASSERT_EQ(::mkfifo((folder_.path() + name).c_str(), 0600), 0);
    const auto failure = failure_of(declare(folder_.path() + name));
    EXPECT_THAT(failure.message, testing::HasSubstr(folder_.path() + name));
    EXPECT_EQ(failure.action, recovery::refuse) << failure.message;
  }
}

TEST_F(ModelFiles, AreNotReadFurtherOnceStopped) {
  digests_.stop();
  const auto failure = failure_of(declare(shipped_model));
  EXPECT_EQ(failure.code, "hash_stopped");
  EXPECT_EQ(failure.action, recovery::retry_later);
}

} // namespace
} // namespace consort::node
