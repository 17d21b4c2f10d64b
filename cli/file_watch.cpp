// SPDX-License-Identifier: Apache-2.0
#include "cli/file_watch.hpp"

#include <boost/asio/steady_timer.hpp>

#include <mutex>
#include <sys/stat.h>

namespace consort::cli {

namespace {

/// What changes with a file; all zero when there is none.
struct fingerprint {
  ino_t inode = 0;
  off_t size = 0;
  time_t seconds = 0;
  long nanoseconds = 0;
  friend bool operator==(const fingerprint&, const fingerprint&) = default;
};

fingerprint look_at(const std::filesystem::path& file) {
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0)
    return {};
  return {about.st_ino, about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
}

} // namespace

struct file_watch::shell : std::enable_shared_from_this<file_watch::shell> {
  shell(boost::asio::io_context& io, std::filesystem::path watched, std::function<void()> told,
        std::chrono::milliseconds period)
      : timer(io),
        file(std::move(watched)),
        on_change(std::move(told)),
        every(period),
        seen(look_at(file)) {}

  /// Requires: the mutex.
  void wait() {
    timer.expires_after(every);
    timer.async_wait(
        [self = shared_from_this()](const boost::system::error_code&) { self->look(); });
  }

  void look() {
    const std::lock_guard lock(mutex);
    if (stopped)
      return;
    if (const auto now = look_at(file); now != seen) {
      seen = now;
      on_change();
    }
    wait();
  }

  std::mutex mutex;
  bool stopped = false;
  boost::asio::steady_timer timer;
  const std::filesystem::path file;
  const std::function<void()> on_change;
  const std::chrono::milliseconds every;
  fingerprint seen;
};

file_watch::file_watch(boost::asio::io_context& io, std::filesystem::path file,
                       std::function<void()> on_change, std::chrono::milliseconds every)
    : shell_(std::make_shared<shell>(io, std::move(file), std::move(on_change), every)) {
  const std::lock_guard lock(shell_->mutex);
  shell_->wait();
}

file_watch::~file_watch() {
  const std::lock_guard lock(shell_->mutex);
  shell_->stopped = true;
  shell_->timer.cancel();
}

} // namespace consort::cli
