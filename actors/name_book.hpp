// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which incarnations said hello under a node's name, and in what order. A name is the latest's;
/// an earlier one that is heard again is another agent under the same name, or one that was stopped
/// while its replacement came. Pure.

#include "actors/limits.hpp"
#include "scheduler/ids.hpp"

#include <map>
#include <vector>

namespace consort::actors {

/// Limits: lives of a name (the earliest is forgotten, and then counts as new); names (beyond, none
/// is remembered).
class name_book {
public:
  /// `life` was let in under that name, which is its own from now on.
  void admitted(const node_id& name, incarnation life);
  /// Whether another one was let in since `life` was.
  [[nodiscard]] bool superseded(const node_id& name, incarnation life) const;
  [[nodiscard]] std::size_t names() const { return lives_.size(); }

private:
  std::map<node_id, std::vector<incarnation>> lives_; ///< Never empty; the latest is last.
};

} // namespace consort::actors
