// SPDX-License-Identifier: Apache-2.0
#include "node/synced_file.hpp"

#include "node/process_group.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

namespace consort::node {

namespace {

constexpr std::size_t copied_at_once_bytes = std::size_t{1} << 20U;

/// By hand: std::filesystem::copy_file() says `Input/output error` of a disk that is full.
std::optional<error> copy_content(int from, const std::string& from_path, int to,
                                  const std::string& to_path) {
  std::vector<char> piece(copied_at_once_bytes);
  for (;;) {
    const auto got = ::read(from, piece.data(), piece.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return file_error(from_path, errno);
    if (got == 0)
      break;
    for (ssize_t done = 0; done < got;) {
      const auto put = ::write(to, piece.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno == EINTR)
        continue;
      if (put <= 0)
        return file_error(to_path, errno);
      done += put;
    }
  }
  if (::fsync(to) != 0)
    return file_error(to_path, errno);
  return std::nullopt;
}

} // namespace

error file_error(const std::string& path, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return {recovery::retry_later, full ? "disk_full" : "disk_error",
          path + ": " + std::strerror(reason)};
}

std::optional<error> sync_path(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0)
    return file_error(path, errno);
  return std::nullopt;
}

std::optional<error> write_synced(const std::string& path, const std::string& text) {
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!(file << text) || !file.flush())
      return file_error(path, ENOSPC);
  }
  return sync_path(path);
}

std::optional<error> copy_synced(const std::string& from, const std::string& to) {
  const unique_fd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat known {};
  if (source.get() < 0 || ::fstat(source.get(), &known) != 0)
    return file_error(from, errno);
  const unique_fd made(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made.get() < 0)
    return file_error(to, errno);
  auto problem = copy_content(source.get(), from, made.get(), to);
  if (!problem && ::fchmod(made.get(), known.st_mode & 07777U) != 0)
    problem = file_error(to, errno);
  if (problem)
    ::unlink(to.c_str());
  return problem;
}

std::optional<error> replace_synced(const std::string& path, const std::string& text) {
  const auto fresh = path + ".new";
  if (auto problem = write_synced(fresh, text))
    return problem;
  if (std::rename(fresh.c_str(), path.c_str()) != 0)
    return file_error(path, errno);
  return std::nullopt;
}

} // namespace consort::node
