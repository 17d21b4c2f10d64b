// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The latest requests that ended, so that one that is told of again is not taken for a new one: it
/// was refused and the refusal was lost with its gateway's link, or the news of it came twice.
/// Keeps `kept_max` of them, oldest out first. Allocates when the first one ends, and then no more
/// but for what was said. Owned by core_state.

#include "scheduler/command.hpp"
#include "scheduler/flat_map.hpp"
#include "scheduler/request_hash.hpp"

#include <memory>
#include <vector>

namespace consort::core {

class ended_requests {
public:
  static constexpr std::size_t kept_max = 8'192;

  struct entry {
    request_id id;
    std::shared_ptr<const reject_request> said; ///< What its gateway was told; null when it knew
                                                ///< itself, as mostly.
  };

  void remember(const request_id& id, std::shared_ptr<const reject_request> said = nullptr) {
    if (kept_.empty()) {
      kept_.reserve(kept_max);
      places_.reserve(kept_max + 1);
    }
    if (kept_.size() < kept_max)
      kept_.emplace_back();
    auto& place = kept_[next_];
    // It may have ended again since, in another place.
    if (const auto* old = places_.find(place.id); old != places_.end() && old->second == next_)
      places_.erase(place.id);
    place = {id, std::move(said)};
    places_.assign(id, next_);
    next_ = (next_ + 1) % kept_max;
  }

  /// Null when it did not end lately.
  [[nodiscard]] const entry* find(const request_id& id) const {
    const auto* found = places_.find(id);
    return found == places_.end() ? nullptr : &kept_[found->second];
  }

private:
  std::vector<entry> kept_;
  flat_map<request_id, std::size_t, request_hash> places_;
  std::size_t next_ = 0;
};

} // namespace consort::core
