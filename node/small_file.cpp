// SPDX-License-Identifier: Apache-2.0
#include "node/small_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <limits>

namespace consort::node {

bool replace_file(const std::string& path, std::string_view text) {
  const auto fresh = path + ".new";
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file << text;
  file.close(); // What a stream holds back may be what the disk has no room for.
  if (file && std::rename(fresh.c_str(), path.c_str()) == 0)
    return true;
  std::remove(fresh.c_str());
  return false;
}

unique_fd open_regular(const std::string& path) {
  // Whoever looks first and opens then may find a pipe where a file was.
  unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0)
    return file;
  struct stat found {};
  if (::fstat(file.get(), &found) == 0 && S_ISREG(found.st_mode)) {
    ::fcntl(file.get(), F_SETFL, O_RDONLY); // The files of drivers may heed the flag.
    return file;
  }
  file.reset();
  errno = EINVAL;
  return file;
}

std::optional<std::string> read_file_head(const std::string& path, std::size_t bytes_max) {
  const auto file = open_regular(path);
  if (file.get() < 0)
    return std::nullopt;
  std::string text;
  std::array<char, 16384> part; // NOLINT(*-member-init): filled before it is read
  while (text.size() < bytes_max) {
    const auto count
        = ::read(file.get(), part.data(), std::min(part.size(), bytes_max - text.size()));
    if (count == 0)
      break;
    if (count < 0 && errno != EINTR)
      return std::nullopt;
    if (count > 0)
      text.append(part.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::optional<std::string> read_whole_file(const std::string& path) {
  return read_file_head(path, std::numeric_limits<std::size_t>::max());
}

} // namespace consort::node
