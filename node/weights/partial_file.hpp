// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A file on its way here: how much of it there is outlives the process that fetched it. One
/// process at a time has it open. Not thread-safe.

#include "node/process_group.hpp"
#include "scheduler/result.hpp"

#include <string>
#include <string_view>

namespace consort::node {

class partial_file {
public:
  /// Goes on with what is there. Errors: `weights_partial` (another process has it),
  /// `disk_error`.
  [[nodiscard]] static result<partial_file> open(std::string path);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Errors: `disk_full`, and then nothing is left of it here, for others need the room more than a
  /// later try the beginning; `disk_error`.
  [[nodiscard]] result<done> append(std::string_view bytes);
  /// From the beginning again.
  [[nodiscard]] result<done> clear();
  /// Moves it to `path`, closed. Nothing is left of it here.
  [[nodiscard]] result<done> move_to(const std::string& path);

private:
  partial_file(std::string path, unique_fd file, std::uint64_t size)
      : path_(std::move(path)), file_(std::move(file)), size_(size) {}

  std::string path_;
  unique_fd file_;
  std::uint64_t size_ = 0; ///< Bytes.
};

} // namespace consort::node
