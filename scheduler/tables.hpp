// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Dense tables of the core's state: a row keeps its index for as long as it lives, so that rows
/// refer to each other by index and nothing depends on addresses.

#include "scheduler/endpoints.hpp"

#include <cassert>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace consort::core {

/// Rows with reuse of freed indices, last freed first. References stay valid until the row is
/// freed: rows stand in chunks that never move, whose place an index gives by its bits, since a
/// request's life looks up some fifty of them.
template <class Row>
class table {
public:
  index add() {
    ++live_;
    if (!free_.empty()) {
      const auto at = free_.back();
      free_.pop_back();
      used_[at] = true;
      return at;
    }
    if (used_.size() == chunks_.size() * chunk_size)
      chunks_.emplace_back(chunk_size);
    used_.push_back(true);
    return static_cast<index>(used_.size() - 1);
  }
  void free(index at) {
    assert(used_[at]);
    // Not assigned: that would move every text of an empty row.
    auto* row = &(*this)[at];
    std::destroy_at(row);
    std::construct_at(row);
    used_[at] = false;
    free_.push_back(at);
    --live_;
  }
  [[nodiscard]] bool holds(index at) const { return at < used_.size() && used_[at]; }
  [[nodiscard]] std::size_t live() const { return live_; }
  /// One past the highest index ever used.
  [[nodiscard]] index end() const { return static_cast<index>(used_.size()); }
  Row& operator[](index at) { return chunks_[at / chunk_size][at % chunk_size]; }
  const Row& operator[](index at) const { return chunks_[at / chunk_size][at % chunk_size]; }

private:
  static constexpr index chunk_size = 16;

  std::vector<std::vector<Row>> chunks_; ///< Each full from the beginning, and so never moved.
  std::vector<bool> used_;
  std::vector<index> free_;
  std::size_t live_ = 0;
};

/// Names to indices, in order of name.
using name_map = std::map<std::string, index, std::less<>>;

[[nodiscard]] inline index find(const name_map& names, std::string_view name) {
  const auto found = names.find(name);
  return found == names.end() ? none : found->second;
}

} // namespace consort::core
