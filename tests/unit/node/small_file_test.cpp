// SPDX-License-Identifier: Apache-2.0
#include "node/small_file.hpp"

#include "tests/unit/node/temp_folder.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>

namespace consort::node {
namespace {

TEST(SmallFile, IsReplacedWhole) {
  const test::temp_folder folder;
  const auto path = folder / "known.json";
  EXPECT_TRUE(replace_file(path, "one"));
  EXPECT_TRUE(replace_file(path, "2"));
  EXPECT_EQ(test::read_file(path), "2");
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(SmallFile, StaysAsItWasWhenTheDiskIsFull) {
  const test::temp_folder folder;
  const auto path = folder / "known.json";
  ASSERT_TRUE(replace_file(path, "one"));
  std::filesystem::create_symlink("/dev/full", path + ".new");
  EXPECT_FALSE(replace_file(path, "two"));
  EXPECT_EQ(test::read_file(path), "one");
  EXPECT_TRUE(replace_file(path, "three")) << "and nothing is in the way of the next one";
}

TEST(SmallFile, IsReadWhole) {
  const test::temp_folder folder;
  const std::string text(100'000, 'x');
  ASSERT_TRUE(replace_file(folder / "large", text));
  EXPECT_EQ(read_whole_file(folder / "large"), text);
  EXPECT_EQ(read_whole_file(folder.write("empty", "")), "");
}

TEST(SmallFile, WhoseReadFailsIsNothing) {
  EXPECT_EQ(read_whole_file("/nowhere"), std::nullopt);
  EXPECT_EQ(read_whole_file("/proc/self"), std::nullopt) << "a folder";
  EXPECT_EQ(read_whole_file("/proc/self/mem"), std::nullopt)
      << "opens; its first page is not there";
}

TEST(SmallFile, IsNoPipeAndNoDevice) {
  const test::temp_folder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero");
  std::filesystem::create_symlink(folder.write("real", "text"), folder / "link");
  for (const auto& path : {folder / "pipe", folder / "zero", folder.path()}) {
    EXPECT_LT(open_regular(path).get(), 0) << path;
    EXPECT_EQ(read_whole_file(path), std::nullopt) << path;
    EXPECT_EQ(read_file_head(path, 4), std::nullopt) << path;
  }
  EXPECT_EQ(read_whole_file(folder / "link"), "text");
}

TEST(SmallFile, WhoseHeadIsReadMayBeShorter) {
  const test::temp_folder folder;
  const auto path = folder.write("four", "text");
  EXPECT_EQ(read_file_head(path, 3), "tex");
  EXPECT_EQ(read_file_head(path, 5), "text");
  EXPECT_EQ(read_file_head(path, 0), "");
}

} // namespace
} // namespace consort::node
