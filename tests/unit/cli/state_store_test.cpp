// SPDX-License-Identifier: Apache-2.0
#include "cli/state_store.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;

class StateStoreTest : public testing::Test {
protected:
  StateStoreTest() {
    char pattern[] = "/tmp/consort-state-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~StateStoreTest() override { fs::remove_all(folder_); }

  std::unique_ptr<state_store> opened() {
    auto store = state_store::open(folder_);
    EXPECT_TRUE(store);
    return store ? std::move(*store) : nullptr;
  }
  std::string folder_;
};

TEST_F(StateStoreTest, KeepsHoldsOverARestart) {
  const core::hold_map holds{{"a", {false, true, "an 'odd' reason", 0}},
                             {"b/npu0", {true, false, "", 3'600'000'000, "PCI-0000:41:00.0"}}};
  ASSERT_TRUE(opened()->save_holds(holds));
  auto loaded = opened()->load_holds();
  ASSERT_TRUE(loaded);
  auto& left = loaded->at("b/npu0").move_after_us;
  EXPECT_LE(left, 3'600'000'000);
  EXPECT_GT(left, 3'500'000'000);
  left = 3'600'000'000;
  EXPECT_EQ(*loaded, holds);
}

TEST_F(StateStoreTest, ReplacesWhatItKept) {
  const auto store = opened();
  ASSERT_TRUE(store->save_holds({{"a", {true, false, "", 0}}, {"b", {false, true, "", 0}}}));
  ASSERT_TRUE(store->save_holds({{"b", {false, true, "", 0}}}));
  EXPECT_EQ(store->load_holds()->size(), 1U);
  ASSERT_TRUE(store->save_holds({}));
  EXPECT_TRUE(store->load_holds()->empty());
}

TEST_F(StateStoreTest, DeadlineThatPassedMeanwhileIsDueAtOnce) {
  ASSERT_TRUE(opened()->save_holds({{"a", {true, false, "", 1}}}));
  EXPECT_EQ(opened()->load_holds()->at("a").move_after_us, 1);
}

TEST_F(StateStoreTest, KeepsDeclaredModelsOverARestartAndForgetsRemovedOnes) {
  EXPECT_TRUE(opened()->load_models()->empty());
  const declaration_map both{{"a", R"({"name":"a"})"}, {"it's", "\xC3\xA9"}};
  ASSERT_TRUE(opened()->save_models(both));
  ASSERT_TRUE(opened()->save_holds({{"a", {false, true, "", 0}}})) << "another table";
  EXPECT_EQ(*opened()->load_models(), both);
  ASSERT_TRUE(opened()->save_models({{"a", "{}"}}));
  EXPECT_EQ(*opened()->load_models(), (declaration_map{{"a", "{}"}}));
  ASSERT_TRUE(opened()->save_models({}));
  EXPECT_TRUE(opened()->load_models()->empty());
  EXPECT_EQ(opened()->load_holds()->size(), 1U);
}

TEST_F(StateStoreTest, KeepsWhatWasSpentOverARestart) {
  EXPECT_EQ(opened()->load_spending()->micros, 0U);
  ASSERT_TRUE(opened()->save_spending(5));
  ASSERT_TRUE(opened()->save_spending(8'400));
  ASSERT_TRUE(opened()->save_holds({})) << "another table";
  const auto spent = opened()->load_spending();
  ASSERT_TRUE(spent);
  EXPECT_EQ(spent->micros, 8'400U);
  EXPECT_GE(spent->age_us, 0);
  EXPECT_LT(spent->age_us, 60'000'000);
}

/// Sets the time of day at which it was kept.
void date_spending(const std::string& folder, const char* at_unix_us) {
  sqlite3* file = nullptr;
  ASSERT_EQ(sqlite3_open((folder + "/scheduler.db").c_str(), &file), SQLITE_OK);
  const auto text = std::string("UPDATE remote_spending SET at_unix_us = ") + at_unix_us;
  EXPECT_EQ(sqlite3_exec(file, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(file);
}

TEST_F(StateStoreTest, AClockThatWentBackEarnsNothing) {
  ASSERT_TRUE(opened()->save_spending(8'400));
  date_spending(folder_, "at_unix_us + 86400000000");
  EXPECT_EQ(opened()->load_spending()->age_us, 0);
  EXPECT_EQ(opened()->load_spending()->micros, 8'400U);
  date_spending(folder_, "at_unix_us - 2 * 86400000000");
  EXPECT_GE(opened()->load_spending()->age_us, 86'400'000'000);
}

TEST_F(StateStoreTest, OnlyItsUserReadsIt) {
  const auto file = fs::path(folder_) / "scheduler.db";
  const auto mine = fs::perms::owner_read | fs::perms::owner_write;
  ASSERT_TRUE(opened()->save_models({{"a", "{}"}}));
  EXPECT_EQ(fs::status(file).permissions(), mine);
  fs::permissions(file, fs::perms::group_read | fs::perms::others_read, fs::perm_options::add);
  EXPECT_EQ(opened()->load_models()->size(), 1U) << "of an earlier version";
  EXPECT_EQ(fs::status(file).permissions(), mine);
}

TEST_F(StateStoreTest, SaysWhatToDoAboutAFileThatIsNone) {
  std::ofstream(folder_ + "/scheduler.db") << std::string(4'096, 'x');
  const auto store = state_store::open(folder_);
  ASSERT_FALSE(store);
  EXPECT_NE(store.failure().message.find("scheduler.db"), std::string::npos);
  EXPECT_NE(store.failure().message.find("move the file away"), std::string::npos);
}

/// To forget what it kept would not help, and costs it.
TEST_F(StateStoreTest, OnAFullDiskAsksForRoomAndNotForTheFileToGo) {
  if (::mount("none", folder_.c_str(), "tmpfs", 0, "size=8k") != 0)
    GTEST_SKIP() << "a small disk is made by root only";
  const auto store = state_store::open(folder_);
  ::umount2(folder_.c_str(), MNT_DETACH);
  ASSERT_FALSE(store);
  EXPECT_NE(store.failure().message.find("make room on its disk"), std::string::npos)
      << store.failure().message;
  EXPECT_EQ(store.failure().message.find("move the file away"), std::string::npos);
}

} // namespace
} // namespace consort::cli
