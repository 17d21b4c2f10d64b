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

} // namespace
} // namespace consort::node
