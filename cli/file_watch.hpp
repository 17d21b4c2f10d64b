// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Notices that one small file was made, replaced, written or removed, by asking for its time,
/// size and inode again and again: a list that an operator copies into place takes effect without
/// a signal. Thread-safe.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>

namespace consort::cli {

inline constexpr std::chrono::milliseconds watch_file_every{500};

class file_watch {
public:
  /// Calls `on_change` on a thread of `io`, one at a time, within `every` of each change. What is
  /// there now is no change. `io` outlives it.
  file_watch(boost::asio::io_context& io, std::filesystem::path file,
             std::function<void()> on_change, std::chrono::milliseconds every = watch_file_every);
  /// When it returns, `on_change` is not running and will not run again.
  ~file_watch();
  file_watch(const file_watch&) = delete;
  file_watch& operator=(const file_watch&) = delete;

private:
  struct shell;
  std::shared_ptr<shell> shell_;
};

} // namespace consort::cli
