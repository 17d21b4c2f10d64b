// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Lines of a text file, or of one compressed with xz (known by its first bytes, which a name that
/// ends in `.xz` promises), read as they are wanted. Owned by one reader; holds two buffers of
/// `buffer_bytes` and one line of at most `line_bytes_max`. Single-threaded.

#include "scheduler/result.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace consort::sim {

class line_source {
public:
  static constexpr std::size_t buffer_bytes = 64 * 1024;
  static constexpr std::size_t line_bytes_max = 4 * 1024 * 1024;
  static constexpr std::uint64_t xz_memory_max = 256 * 1024 * 1024; ///< Bytes, of the decoder.

  [[nodiscard]] static result<line_source> open(const std::string& path);
  line_source(line_source&&) noexcept;
  line_source& operator=(line_source&&) noexcept;
  ~line_source();

  /// Reads the next line, without its end. Returns: false at the end of the file. Errors name file
  /// and line: a truncated or damaged xz stream, a line too long, a read that failed.
  [[nodiscard]] result<bool> next(std::string& line);
  /// An error about the line read last: `path:line: field: message`.
  [[nodiscard]] error wrong(std::string_view field, const std::string& message) const;

private:
  struct file;
  explicit line_source(std::string path);
  /// More text in `text_`. Returns: false at the end.
  [[nodiscard]] result<bool> fill();

  std::string path_;
  std::unique_ptr<file> file_;
  std::string text_; ///< Read and not yet handed out, from `from_` on.
  std::size_t from_ = 0;
  std::uint64_t number_ = 0; ///< Of the line read last, from 1.
};

} // namespace consort::sim
