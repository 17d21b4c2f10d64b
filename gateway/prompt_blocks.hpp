// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Chained hashes of a prompt's text, by which the scheduler recognises shared prefixes: block k's
/// hash covers blocks 0..k and the model's name, so equal hashes mean equal prefixes. Only whole
/// blocks count; at most core::limits::prefix_blocks_max of them. Streaming: feed text in order.
/// The same text gives the same hashes on every gateway and version.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace consort::gateway {

class prompt_hasher {
public:
  explicit prompt_hasher(std::string_view model);

  void add(std::string_view text);
  /// Bytes fed so far.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::uint64_t> take() { return std::move(blocks_); }

private:
  void close_block(std::string_view block);

  std::uint64_t chain_;
  std::size_t bytes_ = 0;
  std::string partial_;
  std::vector<std::uint64_t> blocks_;
};

} // namespace consort::gateway
