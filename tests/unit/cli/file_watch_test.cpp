// SPDX-License-Identifier: Apache-2.0
#include "cli/file_watch.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;

class FileWatchTest : public testing::Test {
protected:
  FileWatchTest() {
    char pattern[] = "/tmp/consort-watch-XXXXXX";
    home_ = mkdtemp(pattern);
  }
  ~FileWatchTest() override { fs::remove_all(home_); }

  /// Runs until there were so many changes; gives up after a time that no machine needs.
  [[nodiscard]] bool sees(int changes) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (changes_ < changes && std::chrono::steady_clock::now() < until)
      io_.run_one_for(std::chrono::seconds(1));
    return changes_ == changes;
  }
  /// Looks at the file once more, and once more after that.
  void look_twice() {
    io_.run_one();
    io_.run_one();
  }

  boost::asio::io_context io_;
  fs::path home_;
  int changes_ = 0;
};

TEST_F(FileWatchTest, TellsOfAFileMadeReplacedAndRemovedAndOfNothingElse) {
  const auto file = home_ / "revoked.txt";
  const file_watch watch(
      io_, file, [this] { ++changes_; }, std::chrono::milliseconds(1));
  look_twice();
  EXPECT_EQ(changes_, 0);
  std::ofstream(file) << "aa\n";
  EXPECT_TRUE(sees(1));
  look_twice();
  EXPECT_EQ(changes_, 1);
  std::ofstream(home_ / "new") << "bb\n";
  fs::rename(home_ / "new", file);
  EXPECT_TRUE(sees(2));
  fs::remove(file);
  EXPECT_TRUE(sees(3));
}

TEST_F(FileWatchTest, IsSilentOnceItIsGone) {
  {
    const file_watch watch(
        io_, home_ / "x", [this] { ++changes_; }, std::chrono::milliseconds(1));
    std::ofstream(home_ / "x") << "x";
  }
  io_.run();
  EXPECT_EQ(changes_, 0);
}

} // namespace
} // namespace consort::cli
