// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads the parts of a GGUF file from bytes that nobody vouches for: a cursor that cannot pass the
/// end, metadata values as views into the bytes, and the table of number types. Internal to
/// gguf.cpp. The first failure sticks: later reads return zeros and change nothing.

#include "scheduler/result.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

enum class gguf_type : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64
};

/// Bytes of a fixed-size type; 0 for text and array.
[[nodiscard]] std::uint64_t gguf_type_bytes(gguf_type type);

/// A cursor over the file. Owns nothing.
class gguf_cursor {
public:
  /// `bytes` is the head of a file of `file_bytes` bytes (at least as many).
  gguf_cursor(std::span<const std::byte> bytes, std::uint64_t file_bytes)
      : bytes_(bytes), file_bytes_(file_bytes) {}

  template <class Number>
  [[nodiscard]] Number number(std::string_view field);
  /// A length-prefixed string of at most `bytes_max`.
  [[nodiscard]] std::string_view text(std::string_view field, std::uint64_t bytes_max);
  /// The next `count` items of `size` bytes each.
  [[nodiscard]] std::span<const std::byte> items(std::string_view field, std::uint64_t count,
                                                 std::uint64_t size);
  /// Records a failure at the current offset (the first one stays).
  void fail(std::string_view field, const std::string& message);

  [[nodiscard]] std::span<const std::byte> whole() const { return bytes_; }
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  [[nodiscard]] std::uint64_t left() const { return file_bytes_ - offset_; } ///< In the file.
  [[nodiscard]] const std::optional<error>& failure() const { return failure_; }
  [[nodiscard]] bool failed() const { return failure_.has_value(); }

private:
  std::span<const std::byte> bytes_;
  std::uint64_t file_bytes_;
  std::uint64_t offset_ = 0;
  std::optional<error> failure_;
};

/// One metadata value. `raw` holds its bytes as stored (array items included, type tags not).
struct gguf_value {
  gguf_type type = gguf_type::u8;
  gguf_type item = gguf_type::u8; ///< Of an array.
  std::uint64_t count = 0;        ///< Items of an array.
  std::uint64_t offset = 0;       ///< In the file, for messages.
  std::span<const std::byte> raw;

  /// A whole number that is not negative, whatever its width.
  [[nodiscard]] std::optional<std::uint64_t> whole() const;
  [[nodiscard]] std::optional<std::string_view> text() const;
  /// Items of an array of whole numbers; nothing for other types or a negative item.
  [[nodiscard]] std::optional<std::vector<std::uint64_t>> wholes() const;
};

using gguf_metadata = std::map<std::string, gguf_value, std::less<>>;

/// Reads `count` key-value pairs; duplicates and nested arrays of arrays are failures.
[[nodiscard]] gguf_metadata read_gguf_metadata(gguf_cursor& from, std::uint64_t count);

/// How a tensor's number type is stored: `block` numbers in `bytes` bytes.
struct gguf_number_type {
  std::uint32_t id;
  const char* name;
  std::uint64_t block;
  std::uint64_t bytes;
};
[[nodiscard]] const gguf_number_type* find_gguf_number_type(std::uint32_t id);

struct gguf_tensor {
  std::string_view name;
  const gguf_number_type* type = nullptr;
  std::vector<std::uint64_t> dimensions;
  std::uint64_t offset = 0; ///< From the start of the data section.
  std::uint64_t bytes = 0;
};

/// Reads `count` tensor descriptions; sizes are computed and checked for overflow, offsets for
/// `alignment`.
[[nodiscard]] std::vector<gguf_tensor> read_gguf_tensors(gguf_cursor& from, std::uint64_t count,
                                                         std::uint64_t alignment);

} // namespace consort::node
