// SPDX-License-Identifier: Apache-2.0
#include "node/staging_sweep.hpp"

#include "node/small_file.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>

namespace consort::node {

namespace fs = std::filesystem;

bool runs(pid_t process) {
  if (process <= 0 || (::kill(process, 0) != 0 && errno != EPERM))
    return false;
  // `PID (name) S ...`, where a name may hold anything: proc(5).
  const auto stat = read_whole_file("/proc/" + std::to_string(process) + "/stat").value_or("");
  const auto name_ends = stat.rfind(')');
  if (name_ends == std::string::npos || name_ends + 2 >= stat.size())
    return true; // Not ours to look at.
  const char how = stat[name_ends + 2];
  return how != 'Z' && how != 'X';
}

void sweep_staging(const std::string& staging, pid_t reused) {
  std::error_code failed;
  for (fs::directory_iterator at(staging, failed), end; at != end && !failed;
       at.increment(failed)) {
    const auto name = at->path().filename().string();
    pid_t owner = 0;
    const auto* const last = name.data() + name.size();
    const auto [stop, status] = std::from_chars(name.data(), last, owner);
    const bool alive = status == std::errc{} && stop == last && owner != reused && runs(owner);
    if (std::error_code ignored; !alive)
      fs::remove_all(at->path(), ignored);
  }
}

} // namespace consort::node
