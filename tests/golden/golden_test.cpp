// SPDX-License-Identifier: Apache-2.0
// Yesterday's bytes still decode, and today's encoder writes the same ones. One file per message.
// After a deliberate change (appended fields only: see messages/README.md) write them anew with
//   CONSORT_GOLDEN_WRITE=1 build/dev/tests/golden/golden_test
// and look at the difference before committing it.
#include "tests/support/message_catalog.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace consort {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

fs::path folder() {
  return fs::path(CONSORT_SOURCE_DIR) / "tests" / "golden";
}

std::vector<char> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Golden, EveryMessageHasBytes) {
  const bool write = std::getenv("CONSORT_GOLDEN_WRITE") != nullptr;
  std::set<std::string> expected;
  for (const auto& entry : samples::catalog()) {
    ASSERT_TRUE(entry.bytes.ok()) << entry.name << ": " << entry.bytes.failure().message;
    const auto path = folder() / (entry.name + ".bin");
    if (write)
      std::ofstream(path, std::ios::binary)
          .write(entry.bytes->data(), static_cast<std::streamsize>(entry.bytes->size()));
    EXPECT_TRUE(fs::exists(path)) << path;
    expected.insert(entry.name + ".bin");
  }
  std::set<std::string> stale;
  for (const auto& file : fs::directory_iterator(folder()))
    if (file.path().extension() == ".bin" && !expected.contains(file.path().filename().string()))
      stale.insert(file.path().filename().string());
  EXPECT_THAT(stale, IsEmpty()) << "files that no message wrote";
}

TEST(Golden, TodaysEncoderWritesYesterdaysBytes) {
  for (const auto& entry : samples::catalog()) {
    ASSERT_TRUE(entry.bytes.ok()) << entry.name;
    EXPECT_EQ(*entry.bytes, read_file(folder() / (entry.name + ".bin"))) << entry.name;
  }
}

TEST(Golden, YesterdaysBytesDecodeToTheSameMessage) {
  for (const auto& entry : samples::catalog()) {
    const auto bytes = read_file(folder() / (entry.name + ".bin"));
    const auto again = samples::recode(entry.kind, bytes);
    ASSERT_TRUE(again.ok()) << entry.name << ": " << again.failure().message;
    EXPECT_EQ(*again, bytes) << entry.name;
  }
}

} // namespace
} // namespace consort
