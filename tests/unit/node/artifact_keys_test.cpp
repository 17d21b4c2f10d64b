// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_manifest.hpp"
#include "node/artifact_store.hpp"
#include "node/file_digest.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

namespace consort::node {
namespace {

using test::read_file;
using test::temp_folder;
namespace fs = std::filesystem;

artifact_key key_of_shared(const std::string& binds, const std::string& version = "1.0") {
  artifact_key key;
  key.binds = std::string(64, binds[0]);
  key.profile.name = "p";
  key.profile.target = "fake-1";
  key.profile.compiler = "cc";
  key.profile.compiler_version = version;
  return key;
}

/// Builds of several models that end in the same bytes.
class shared_content_fixture : public ::testing::Test {
protected:
  void SetUp() override { reopen(); }
  void reopen() {
    store.reset();
    store = open();
  }
  [[nodiscard]] std::unique_ptr<artifact_store> open(const std::string& below = "data") const {
    auto opened = artifact_store::open(folder / below, node_id("n"));
    return opened ? *std::move(opened) : nullptr;
  }
  static digest put(artifact_store& into, const std::string& content, const artifact_key& key) {
    auto staging = into.stage(content.size());
    if (!staging)
      return digest();
    std::ofstream(staging->output_path()) << content;
    const auto made = into.put(*std::move(staging), key, {}, 5'000);
    return made ? made->content : digest();
  }
  digest put(const std::string& content, const artifact_key& key) const {
    return put(*store, content, key);
  }
  [[nodiscard]] digest served(const artifact_key& key) const {
    const auto found = store->find(key);
    return found ? found->content : digest();
  }
  [[nodiscard]] std::string in_store(const digest& content, const std::string& name) const {
    return folder / ("data/artifacts/" + content.value + "/" + name);
  }

  temp_folder folder;
  std::unique_ptr<artifact_store> store;
  const artifact_key a = key_of_shared("a"), b = key_of_shared("b"), c = key_of_shared("c");
  const digest same = hash_text("same");
};

using SharedContent = shared_content_fixture;

TEST_F(SharedContent, IsThereForAllKeysAcrossARestart) {
  ASSERT_EQ(put("same", a), same);
  ASSERT_EQ(put("same", b), same);
  reopen();
  EXPECT_TRUE(store->complaints().empty());
  EXPECT_EQ(served(a), same);
  EXPECT_EQ(served(b), same);
  EXPECT_EQ(store->current().size(), 2U);
  EXPECT_EQ(store->list().size(), 2U);
  EXPECT_EQ(read_file(*store->path_of(b)), "same");
}

TEST_F(SharedContent, IsReadAsOlderVersionsWroteIt) {
  put("same", a);
  put("other", b);
  const auto older = read_file(in_store(same, "manifest.json"));
  EXPECT_EQ(older.find("also"), std::string::npos) << "of one key it is what it was";
  put("same", b);
  const auto text = read_file(in_store(same, "manifest.json"));
  EXPECT_NE(text.find(a.binds), std::string::npos);
  EXPECT_LT(text.find("\"also\""), text.find(a.binds)) << "names are sorted";
  EXPECT_EQ(read_manifest(text)->front().record.key, a) << "the first stays the first";
}

TEST_F(SharedContent, GoesWithItsLastKeyAlone) {
  put("same", a);
  put("same", b);
  EXPECT_EQ(store->forget(same, c).failure().code, "artifact_missing");
  ASSERT_TRUE(store->forget(same, a).ok());
  reopen();
  EXPECT_EQ(served(a), digest());
  EXPECT_EQ(served(b), same);
  {
    const auto pin = store->pin(same);
    EXPECT_EQ(store->forget(same, b).failure().code, "artifact_pinned");
  }
  ASSERT_TRUE(store->forget(same, b).ok());
  EXPECT_FALSE(fs::exists(in_store(same, "payload")));
  EXPECT_EQ(store->forget(same, b).failure().code, "artifact_missing");
}

TEST_F(SharedContent, IsCollectedOnceAndKeptWhileOneKeyWantsIt) {
  put("same", a);
  put("same", b);
  put("newer of a", a);
  EXPECT_TRUE(store->collectable({0, 0, 1}).empty()) << "the newest of b";
  put("newer of b", b);
  const auto chosen = store->collectable({0, 0, 1});
  ASSERT_EQ(chosen.size(), 1U);
  EXPECT_EQ(chosen.front().content, same);
  ASSERT_TRUE(store->mark_kept(same, true).ok());
  EXPECT_TRUE(store->collectable({0, 0, 1}).empty());
  ASSERT_TRUE(store->mark_kept(same, false).ok());
  EXPECT_EQ(store->collect({0, 0, 1}).size(), 1U);
  EXPECT_EQ(store->list().size(), 2U);
}

/// Who went back goes back for the keys that the content had then, until one of them gets a newer.
TEST_F(SharedContent, IsPreferredByKey) {
  put("same", a);
  put("same", b);
  const auto newer_a = put("newer of a", a);
  const auto newer_b = put("newer of b", b);
  EXPECT_EQ(served(a), newer_a);
  ASSERT_TRUE(store->prefer(same).ok());
  EXPECT_EQ(served(a), same);
  EXPECT_EQ(store->find(b)->own, newer_b);
  put("same", c);
  reopen();
  EXPECT_TRUE(store->find(b)->held);
  EXPECT_FALSE(store->find(c)->held) << "it came later";
  const auto newest_a = put("newest of a", a);
  reopen();
  EXPECT_EQ(served(a), newest_a);
  EXPECT_EQ(served(b), same) << "nothing newer came for that";
  ASSERT_TRUE(store->forget(same, b).ok());
  EXPECT_FALSE(store->preferred(same));
  EXPECT_EQ(served(b), newer_b);
}

TEST_F(SharedContent, AnEmptyMarkIsForTheKeyThatAnOlderVersionKnew) {
  put("same", a);
  put("newer of a", a);
  std::ofstream(in_store(same, "preferred")).flush();
  put("newer of b", b);
  put("same", b);
  reopen();
  EXPECT_TRUE(store->find(a)->held);
  EXPECT_EQ(served(a), same);
  EXPECT_FALSE(store->find(b)->held);
}

TEST_F(SharedContent, WhatStandsBesideItStays) {
  put("same", a);
  store->keep_log(same, "lowering");
  ASSERT_TRUE(store->mark_kept(same, true).ok());
  const auto pin = store->pin(same);
  put("same", b);
  EXPECT_EQ(store->log_of(same), "lowering");
  EXPECT_TRUE(store->kept(same));
  EXPECT_EQ(store->remove(same).failure().code, "artifact_pinned") << "still the same pin";
}

TEST_F(SharedContent, IsMendedByACopyThatIsSound) {
  put("same", a);
  fs::permissions(in_store(same, "payload"), fs::perms::owner_all);
  std::ofstream(in_store(same, "payload"), std::ios::trunc) << "sama";
  put("same", b);
  EXPECT_TRUE(store->path_of(a).ok());
}

TEST_F(SharedContent, OfAnotherProcessIsTakenUpAndAddedTo) {
  put("same", a);
  const auto other = open();
  ASSERT_NE(other, nullptr);
  ASSERT_TRUE(other->stage(1).ok()); // Folders are numbered, and both are this process.
  put(*other, "same", b);
  EXPECT_FALSE(store->find(b).has_value());
  put("same", c);
  EXPECT_EQ(served(b), same) << "read again before it is written";
  put(*other, "same", key_of_shared("d"));
  store->rescan();
  EXPECT_EQ(store->list().size(), 4U);
}

TEST_F(SharedContent, IsCopiedWithAllOfItsKeys) {
  put("same", a);
  put("same", b);
  const auto other = open("other");
  ASSERT_NE(other, nullptr);
  auto staging = other->stage(4);
  ASSERT_TRUE(staging.ok());
  std::ofstream(staging->output_path()) << "same";
  ASSERT_TRUE(other->put_copy(*std::move(staging), store->list()).ok());
  EXPECT_EQ(other->list().size(), 2U);
}

TEST_F(SharedContent, OfMoreKeysThanItsLimitLosesTheOldest) {
  artifact_manifests made;
  for (std::size_t at = 0; at <= limits::artifact_keys_max; ++at) {
    artifact_manifest one;
    one.record.key = key_of_shared("a", std::to_string(at));
    one.record.content = same;
    one.created_s = static_cast<std::int64_t>(at);
    add_manifest(made, one);
  }
  ASSERT_EQ(made.size(), limits::artifact_keys_max);
  EXPECT_EQ(made.front().record.key.profile.compiler_version, "1");
  EXPECT_EQ(read_manifest(write_manifest(made))->size(), limits::artifact_keys_max);
  made.push_back(made.front());
  made.back().record.key.binds = "one more";
  EXPECT_EQ(read_manifest(write_manifest(made)).failure().message, "bad field also");
}

TEST_F(SharedContent, FitsItsManifest) {
  artifact_manifests made;
  for (std::size_t at = 0; at < limits::artifact_keys_max; ++at) {
    artifact_manifest one;
    one.record.key = key_of_shared("a", std::to_string(at));
    one.record.content = same;
    for (std::size_t figure = 0; figure < limits::quality_entries_max; ++figure)
      one.record.quality["q" + std::to_string(figure)] = std::string(200, 'x');
    add_manifest(made, one);
  }
  EXPECT_LT(made.size(), limits::artifact_keys_max);
  EXPECT_TRUE(read_manifest(write_manifest(made)).ok());
}

TEST(ArtifactManifest, RefusesKeysThatAreWrong) {
  artifact_manifests made(2);
  for (std::size_t at = 0; at < made.size(); ++at) {
    made[at].record.content = hash_text("x");
    made[at].record.key.binds = std::to_string(at);
  }
  const auto good = write_manifest(made);
  EXPECT_EQ(read_manifest(good)->size(), 2U);
  made[1].record.key = made[0].record.key;
  EXPECT_EQ(read_manifest(write_manifest(made)).failure().message, "bad field also") << "twice";
  auto text = good;
  const auto at = text.find("\"weights\"");
  text.replace(at, 9, "\"gravels\"");
  EXPECT_EQ(read_manifest(text).failure().message, "bad field also/kind");
  EXPECT_FALSE(read_manifest(good.substr(0, good.find('[') + 1) + "5]}").ok());
}

TEST(ArtifactManifest, SurvivesARoundTrip) {
  artifact_manifest manifest;
  manifest.record.key = key_of_shared("a");
  manifest.record.key.kind = artifact_kind::engine_architecture;
  manifest.record.key.profile.needs_device = true;
  manifest.record.content = hash_text("x");
  manifest.record.size_bytes = 7;
  manifest.record.build_us = 9;
  manifest.record.quality = {{"kl", "0.1"}};
  manifest.created_s = 11;
  const auto read = read_manifest(write_manifest({manifest}));
  ASSERT_TRUE(read.ok()) << read.failure().message;
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ(read->front().record, manifest.record);
  EXPECT_EQ(read->front().created_s, 11);
}

TEST(ArtifactManifest, BoundsQuality) {
  artifact_manifest manifest;
  manifest.record.content = hash_text("x");
  for (std::size_t i = 0; i <= limits::quality_entries_max; ++i)
    manifest.record.quality["q" + std::to_string(i)] = "1";
  EXPECT_NE(read_manifest(write_manifest({manifest})).failure().message.find("quality"),
            std::string::npos);
}

} // namespace
} // namespace consort::node
