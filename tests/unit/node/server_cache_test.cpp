// SPDX-License-Identifier: Apache-2.0
#include "node/server_cache.hpp"

#include "tests/unit/node/temp_folder.hpp"

#include <filesystem>
#include <fstream>

namespace consort::node {
namespace {

using test::temp_folder;
namespace fs = std::filesystem;

class ServerCache : public ::testing::Test {
protected:
  void SetUp() override {
    auto opened = artifact_store::open(folder_.path(), node_id("n"));
    ASSERT_TRUE(opened) << opened.failure().message;
    store_ = *std::move(opened);
  }
  [[nodiscard]] static artifact_key key() {
    artifact_key made;
    made.kind = artifact_kind::cache;
    made.binds = std::string(64, 'b');
    made.profile.name = "serve-cache";
    return made;
  }
  std::shared_ptr<server_cache> start(std::optional<artifact_record> stored = std::nullopt,
                                      std::uint64_t bytes_max = 1 << 20U) {
    auto made = server_cache::make(*store_, {key(), bytes_max, std::move(stored)});
    EXPECT_TRUE(made) << made.failure().message;
    return made ? *made : nullptr;
  }
  static void write(const server_cache& cache, const std::string& name, const std::string& text) {
    const auto path = fs::path(cache.path()) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  artifact_record kept(const std::string& text) {
    const auto cache = start();
    write(*cache, "graphs/main.bin", text);
    const auto record = cache->keep();
    EXPECT_TRUE(record && *record);
    return record && *record ? **record : artifact_record{};
  }

  temp_folder folder_;
  std::unique_ptr<artifact_store> store_;
};

TEST_F(ServerCache, IsThereAtTheNextStart) {
  const auto record = kept("compiled");
  EXPECT_EQ(record.key, key());
  const auto next = start(record);
  EXPECT_EQ(test::read_file(next->path() + "/graphs/main.bin"), "compiled");
  const auto again = next->keep();
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again) << "nothing new was compiled";
}

TEST_F(ServerCache, NewerContentTakesThePlaceOfOlder) {
  const auto first = kept("compiled");
  const auto next = start(first);
  write(*next, "graphs/second.bin", "more");
  const auto second = next->keep();
  ASSERT_TRUE(second && *second);
  EXPECT_EQ(store_->find(key())->content, (*second)->content);
  EXPECT_EQ(store_->list().size(), 1U);
}

TEST_F(ServerCache, InUseOrMarkedTheOlderStays) {
  const auto first = kept("compiled");
  const auto pin = store_->pin(first.content);
  kept("compiled anew");
  EXPECT_EQ(store_->list().size(), 2U);
}

TEST_F(ServerCache, EmptyOrTooLargeIsNotKept) {
  const auto empty = start()->keep();
  ASSERT_TRUE(empty);
  EXPECT_FALSE(*empty);
  const auto large = start(std::nullopt, 4);
  write(*large, "main.bin", "12345");
  const auto refused = large->keep();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.failure().code, "cache_too_large");
  EXPECT_TRUE(store_->list().empty());
}

TEST_F(ServerCache, DamagedOneIsAnEmptyStart) {
  const auto record = kept("compiled");
  const auto payload = folder_ / ("artifacts/" + record.content.value + "/payload");
  fs::permissions(payload, fs::perms::owner_all);
  std::ofstream(payload, std::ios::trunc) << "damaged";
  const auto next = start(record);
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(fs::is_empty(next->path()));
}

TEST_F(ServerCache, ItsFolderGoesWithIt) {
  auto cache = start();
  const auto path = cache->path();
  write(*cache, "main.bin", "x");
  cache.reset();
  EXPECT_FALSE(fs::exists(path));
}

} // namespace
} // namespace consort::node
