// SPDX-License-Identifier: Apache-2.0
#include "node/weights/partial_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace consort::node {

namespace {

error broken_disk(const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
  return {full ? recovery::retry_elsewhere : recovery::retry_later,
          full ? "disk_full" : "disk_error", path + ": " + std::strerror(errno)};
}

} // namespace

result<partial_file> partial_file::open(std::string path) {
  unique_fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.get() < 0)
    return broken_disk(path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
    return error{recovery::retry_later, "weights_partial",
                 path + ": another process of this host fetches it"};
  struct stat found {};
  if (::fstat(file.get(), &found) != 0)
    return broken_disk(path);
  // Whoever held the lock may have moved the file to its place meanwhile.
  struct stat named {};
  if (::stat(path.c_str(), &named) != 0 || named.st_ino != found.st_ino
      || named.st_dev != found.st_dev)
    return error{recovery::retry_later, "weights_partial",
                 path + ": another process of this host fetched it"};
  return partial_file(std::move(path), std::move(file), static_cast<std::uint64_t>(found.st_size));
}

result<done> partial_file::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto put = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (put < 0 && errno == EINTR)
      continue;
    if (put <= 0) {
      auto broken = broken_disk(path_);
      if (broken.code == "disk_full")
        ::unlink(path_.c_str());
      return broken;
    }
    size_ += static_cast<std::uint64_t>(put);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return done{};
}

result<done> partial_file::clear() {
  if (::ftruncate(file_.get(), 0) != 0)
    return broken_disk(path_);
  size_ = 0;
  return done{};
}

result<done> partial_file::move_to(const std::string& path) {
  if (std::rename(path_.c_str(), path.c_str()) != 0)
    return broken_disk(path_);
  file_.reset();
  return done{};
}

} // namespace consort::node
