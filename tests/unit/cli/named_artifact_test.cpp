// SPDX-License-Identifier: Apache-2.0
#include "cli/limits.hpp"
#include "cli/store_listing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::cli {
namespace {

using testing::HasSubstr;

artifact_record beginning(const std::string& letters) {
  artifact_record made;
  made.content.value = letters + std::string(64 - letters.size(), '0');
  made.key.profile.name = "p-" + letters;
  return made;
}

TEST(NamedArtifact, IsFoundByItsDigestOrTheBeginning) {
  const std::vector<artifact_record> all{beginning("abcdef1"), beginning("abcde2")};
  for (const auto& name : {all[0].content.value, std::string("abcdef"), std::string("ABCDEF1")})
    EXPECT_EQ(named_artifact(all, name).value().content, all[0].content) << name;
}

TEST(NamedArtifact, WantsEnoughOfTheDigest) {
  const std::vector<artifact_record> all{beginning("abcdef")};
  const std::string enough = all[0].content.value.substr(0, limits::digest_letters_min);
  EXPECT_TRUE(named_artifact(all, enough));
  for (const auto& name : {enough.substr(1), std::string("a"), std::string(),
                           std::string("storyteller"), std::string("abcdefg")}) {
    const auto refused = named_artifact(all, name);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.failure().code, "usage");
    EXPECT_THAT(refused.failure().message, HasSubstr("at least the first 6 hex digits")) << name;
  }
  EXPECT_THAT(named_artifact(all, "fedcba").failure().message,
              HasSubstr("no artifact begins with `fedcba`"));
}

TEST(NamedArtifact, ListsThoseThatItMayBe) {
  std::vector<artifact_record> all{beginning("abcdef12345678"), beginning("abcdef123456aa")};
  auto said = named_artifact(all, "abcdef1").failure().message;
  EXPECT_EQ(said, "`abcdef1` is the beginning of several digests: abcdef1234567 "
                  "(p-abcdef12345678), abcdef123456a (p-abcdef123456aa); give more of it");
  for (char letter = 'a'; letter < 'f'; ++letter)
    all.push_back(beginning(std::string("abcdef1") + letter));
  said = named_artifact(all, "abcdef").failure().message;
  EXPECT_THAT(said,
              HasSubstr(" and " + std::to_string(all.size() - limits::candidates_max) + " more;"));
}

} // namespace
} // namespace consort::cli
