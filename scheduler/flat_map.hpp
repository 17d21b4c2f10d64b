// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A hash map of small keys to small values in one array: linear probing, erased by shifting back.
/// Allocates only to double, at half full, so that a steady state allocates nothing. Never
/// iterated: order would depend on history. Single-threaded.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace consort::core {

/// `Key{}` is never kept. Requires: Hash spreads over all bits.
template <class Key, class Value, class Hash>
class flat_map {
public:
  /// Move-assigned when neighbours shift.
  using entry = std::pair<Key, Value>;

  /// Returns: the entry, or null. Valid until the next change.
  [[nodiscard]] const entry* find(const Key& key) const {
    if (size_ == 0 || key == Key{})
      return nullptr;
    for (auto at = home(key);; at = (at + 1) & mask())
      if (cells_[at].first == key)
        return &cells_[at];
      else if (cells_[at].first == Key{})
        return nullptr;
  }
  [[nodiscard]] const entry* end() const { return nullptr; }
  [[nodiscard]] bool contains(const Key& key) const { return find(key) != nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Makes room for so many at once.
  void reserve(std::size_t count) {
    auto wanted = cells_min;
    while (wanted < count * 2)
      wanted *= 2;
    if (wanted > cells_.size())
      resize(wanted);
  }

  /// Leaves a known key's value as it is.
  void emplace(const Key& key, Value value) {
    if (auto* cell = cell_for(key); cell != nullptr && cell->first != key)
      fill(*cell, key, std::move(value));
  }
  /// A known key's value is replaced.
  void assign(const Key& key, Value value) {
    auto* cell = cell_for(key);
    if (cell != nullptr && cell->first == key)
      cell->second = std::move(value);
    else if (cell != nullptr)
      fill(*cell, key, std::move(value));
  }

  /// Returns: how many went, 0 or 1.
  std::size_t erase(const Key& key) {
    const auto* found = find(key);
    if (found == nullptr)
      return 0;
    auto hole = static_cast<std::size_t>(found - cells_.data());
    // Whoever was pushed past the hole comes back, so that no search stops at it.
    for (auto at = (hole + 1) & mask(); cells_[at].first != Key{}; at = (at + 1) & mask()) {
      const auto wanted = home(cells_[at].first);
      if (((at - wanted) & mask()) < ((at - hole) & mask()))
        continue;
      cells_[hole] = std::move(cells_[at]);
      hole = at;
    }
    cells_[hole] = entry{};
    --size_;
    return 1;
  }

private:
  /// Always a power of two.
  static constexpr std::size_t cells_min = 16;
  [[nodiscard]] std::size_t mask() const { return cells_.size() - 1; }
  [[nodiscard]] std::size_t home(const Key& key) const { return Hash{}(key)&mask(); }
  /// Where it is or may go; null of `Key{}`.
  entry* cell_for(const Key& key) {
    if (key == Key{})
      return nullptr;
    if ((size_ + 1) * 2 > cells_.size())
      grow();
    auto at = home(key);
    while (cells_[at].first != Key{} && cells_[at].first != key)
      at = (at + 1) & mask();
    return &cells_[at];
  }
  void fill(entry& cell, const Key& key, Value value) {
    cell = {key, std::move(value)};
    ++size_;
  }
  void grow() { resize(cells_.empty() ? cells_min : cells_.size() * 2); }
  /// Requires: a power of two, more than twice as many as there are.
  void resize(std::size_t cells) {
    auto old = std::move(cells_);
    cells_ = std::vector<entry>(cells);
    size_ = 0;
    for (auto& one : old)
      if (one.first != Key{})
        emplace(one.first, std::move(one.second));
  }

  std::vector<entry> cells_;
  std::size_t size_ = 0;
};

} // namespace consort::core
