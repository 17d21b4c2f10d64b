// SPDX-License-Identifier: Apache-2.0
// Bytes become draws of a hostile world around the core (tests/support/core_chaos.hpp): hot and
// cold ids, late, repeated and stray events. Every violation aborts; when the bytes run out the
// world heals and every accepted request must have ended.
#include "tests/support/core_chaos.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace {

/// Draws from the input, one or two bytes each; zeros once it is used up.
class byte_source {
public:
  byte_source(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint64_t draw(std::uint64_t bound) {
    std::uint64_t value = take();
    if (bound > 256)
      value = (value << 8U) | take();
    return value % bound;
  }
  [[nodiscard]] bool empty() const { return at_ >= size_; }

private:
  std::uint64_t take() { return at_ < size_ ? data_[at_++] : 0; }
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

constexpr std::size_t input_bytes_max = 1'024;

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consort::core;
  byte_source bytes(data, std::min(size, input_bytes_max));
  core_config config;
  config.queue_max = 16;
  config.explore_pm = 100;
  testing::core_chaos chaos([&](std::uint64_t bound) { return bytes.draw(bound); }, config);
  while (!bytes.empty() && chaos.failure().empty())
    chaos.act();
  chaos.heal();
  if (!chaos.failure().empty()) {
    std::fprintf(stderr, "core_events_fuzz: %s\n", chaos.failure().c_str());
    std::abort();
  }
  return 0;
}
