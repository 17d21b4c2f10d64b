// SPDX-License-Identifier: Apache-2.0
#include "actors/name_book.hpp"

#include <algorithm>

namespace consort::actors {

void name_book::admitted(const node_id& name, incarnation life) {
  if (lives_.size() >= limits::names_known_max && !lives_.contains(name))
    return;
  auto& lives = lives_[name];
  std::erase(lives, life);
  lives.push_back(life);
  if (lives.size() > limits::lives_of_name_max)
    lives.erase(lives.begin());
}

bool name_book::superseded(const node_id& name, incarnation life) const {
  const auto known = lives_.find(name);
  if (known == lives_.end() || known->second.back() == life)
    return false;
  return std::find(known->second.begin(), known->second.end(), life) != known->second.end();
}

} // namespace consort::actors
