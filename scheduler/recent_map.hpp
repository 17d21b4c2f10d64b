// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Values by the hash of what they are about, so many at most: whoever was touched longest ago is
/// forgotten for who comes. All is O(1), and nothing allocates once it is full. Keys are spread
/// here, and need not be; 0 is none and never kept. Owned by whoever has one; single-threaded.

#include "scheduler/flat_map.hpp"
#include "scheduler/prng.hpp"

#include <cassert>
#include <cstdint>
#include <vector>

namespace consort::core {

/// `Value{}` is what nothing is known of.
template <class Value>
class recent_map {
public:
  /// Requires: 0 < most < 2^32 - 1.
  explicit recent_map(std::size_t most) : most_(most) { assert(most > 0 && most < none); }

  /// The value of the key, which is the newest from now on: as it was, or `Value{}` of one that was
  /// not there. Of key 0 a value that nobody finds. Valid until the next call.
  Value& touch(std::uint64_t key) {
    if (key == 0)
      return unnamed_ = Value{};
    if (const auto found = places_.find(key); found != places_.end()) {
      const auto at = found->second;
      unlink(at);
      link_newest(at);
      return rows_[at].value;
    }
    const auto at = room_for_one();
    rows_[at].key = key;
    rows_[at].value = Value{};
    link_newest(at);
    places_.emplace(key, at);
    return rows_[at].value;
  }
  /// Returns: the value, or null. It gets no newer. Valid until the next touch().
  [[nodiscard]] const Value* find(std::uint64_t key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : &rows_[found->second].value;
  }
  [[nodiscard]] std::size_t size() const { return places_.size(); }

private:
  using index = std::uint32_t;
  static constexpr index none = ~index{0};
  struct key_hash {
    std::size_t operator()(std::uint64_t key) const { return mix(key); }
  };
  struct row {
    std::uint64_t key = 0;
    Value value;
    index newer = none, older = none;
  };

  /// A row that is linked nowhere: a new one, or the oldest's.
  index room_for_one() {
    if (rows_.size() < most_) {
      rows_.emplace_back();
      return static_cast<index>(rows_.size() - 1);
    }
    const auto at = oldest_;
    unlink(at);
    places_.erase(rows_[at].key);
    return at;
  }
  void unlink(index at) {
    auto& one = rows_[at];
    (one.newer == none ? newest_ : rows_[one.newer].older) = one.older;
    (one.older == none ? oldest_ : rows_[one.older].newer) = one.newer;
    one.newer = one.older = none;
  }
  void link_newest(index at) {
    rows_[at].older = newest_;
    (newest_ == none ? oldest_ : rows_[newest_].newer) = at;
    newest_ = at;
  }

  std::size_t most_;
  std::vector<row> rows_;
  flat_map<std::uint64_t, index, key_hash> places_;
  index newest_ = none, oldest_ = none;
  Value unnamed_{}; ///< Of key 0.

public:
  /// Of each, beside at most 32 of `places_`.
  static constexpr std::size_t row_bytes = sizeof(row);
};

} // namespace consort::core
