// SPDX-License-Identifier: Apache-2.0
#include "node/small_file.hpp"

#include "tests/unit/node/temp_folder.hpp"

#include <gtest/gtest.h>

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

} // namespace
} // namespace consort::node
