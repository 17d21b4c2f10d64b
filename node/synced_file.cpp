// SPDX-License-Identifier: Apache-2.0
#include "node/synced_file.hpp"

#include "node/process_group.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace consort::node {

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

std::optional<error> replace_synced(const std::string& path, const std::string& text) {
  const auto fresh = path + ".new";
  if (auto problem = write_synced(fresh, text))
    return problem;
  if (std::rename(fresh.c_str(), path.c_str()) != 0)
    return file_error(path, errno);
  return std::nullopt;
}

} // namespace consort::node
