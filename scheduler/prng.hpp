// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The core's only source of chance: xoshiro256** seeded through splitmix64 (Blackman and Vigna,
/// 2018). Owned by the core's state; equal seeds give equal sequences on every platform.

#include <array>
#include <bit>
#include <cstdint>

namespace consort::core {

/// One step of splitmix64; also a good mixer of integers for hashing.
constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

class prng {
public:
  explicit prng(std::uint64_t seed) {
    for (auto& word : state_)
      word = mix(seed += 0x9e3779b97f4a7c15U);
  }

  std::uint64_t next() {
    const auto drawn = std::rotl(state_[1] * 5, 7) * 9;
    const auto shifted = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return drawn;
  }

  /// Uniform in [0, bound) up to a bias below bound / 2^32. Requires: 0 < bound < 2^32.
  std::uint64_t below(std::uint64_t bound) { return ((next() >> 32U) * bound) >> 32U; }

  /// For digests only.
  [[nodiscard]] std::uint64_t fingerprint() const { return state_[0] ^ mix(state_[3]); }

private:
  std::array<std::uint64_t, 4> state_{};
};

} // namespace consort::core
