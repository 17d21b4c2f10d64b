// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The candidates of all recorded decisions, as raw numbers, in small blocks that a decision takes
/// and gives back: what the explanations of 100,000 requests weigh is what they hold, not what each
/// of them held at most. Whoever will record promises it first, so that recording allocates
/// nothing. Owned by explain_ring; single-threaded.

#include "scheduler/endpoints.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/policy/filters.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <deque>
#include <vector>

namespace consort::core {

/// One candidate as recorded: figures when it passed, the refusing filter when not. Small, since
/// many are kept.
struct candidate_record {
  instance_id instance; ///< 0 = not loaded.
  std::int64_t score = 0;
  index device = none;
  std::uint32_t wait_us = 0; ///< Queue when loaded, else setup; at most some 70 minutes.
  std::uint32_t first_ns = 0, prefill_ns = 0, itl_ns = 0, step_ns = 0;
  std::uint32_t read_ns = 0, shared_ns = 0; ///< See endpoint_figures.
  std::uint32_t saved = 0;                  ///< Prompt tokens, cached there.
  std::uint32_t again_us = 0;               ///< See endpoint_figures.
  /// Removed for lack of room: what counted against what; no limit = it said that it is full. Of a
  /// plan that passed: its transfer, nanoseconds each time and for each prompt token.
  /// Of a REMOTE: whether its budget was used up. Of what its runtime refuses: what was asked for.
  std::uint32_t amount = 0, limit = 0;
  std::uint16_t batch = 1, running = 0;
  std::uint16_t forgets_pm = 0; ///< See endpoint_figures.
  filter_id removed_by = filter_id::passed;
  bool limit_is_all : 1 = false; ///< Of KV: `limit` is all that it has, not what is free.
  bool of_context : 1 = false;   ///< Removed by KV: for its context is too small.
  bool of_prompt : 1 = false;    ///< Of these: for prompts.
  bool compiling : 1 = false;    ///< Needs an artifact built first.
  bool exact : 1 = true;
  bool weighed : 1 = true;  ///< Else its score says nothing: the decision did not look at it.
  bool session : 1 = false; ///< Of `saved` a part is what the request's session tells of.
};
static_assert(sizeof(candidate_record) <= 72);

class candidate_pool {
public:
  /// What one decision keeps.
  struct chain {
    index first = none;
    std::uint32_t size = 0;
  };
  static constexpr std::size_t block_size = limits::explain_crowd_max;

  /// How many blocks so many candidates take.
  [[nodiscard]] static index blocks_for(std::size_t candidates) {
    return static_cast<index>((candidates + block_size - 1) / block_size);
  }
  /// So many more blocks will be there when they are needed; fewer when negative.
  void promise(std::int64_t blocks) {
    promised_ += blocks;
    assert(promised_ >= 0);
    while (static_cast<std::int64_t>(free_count_) < promised_)
      grow();
  }
  /// Those from `from` on. Requires: their blocks were promised, if it is to allocate nothing; the
  /// promise stays.
  [[nodiscard]] chain keep(const std::vector<candidate_record>& candidates, std::size_t from = 0) {
    chain made{none, static_cast<std::uint32_t>(candidates.size() - from)};
    // From the last block to the first, so that each knows the next.
    for (auto end = candidates.size(); end > from;) {
      const auto begin = from + (end - from - 1) / block_size * block_size;
      const auto taken = take();
      auto& one = at(taken);
      std::copy(candidates.begin() + static_cast<std::ptrdiff_t>(begin),
                candidates.begin() + static_cast<std::ptrdiff_t>(end), one.held.begin());
      one.next = made.first;
      made.first = taken;
      end = begin;
    }
    return made;
  }
  void give_back(chain& kept) {
    for (auto place = kept.first; place != none;) {
      const auto next = at(place).next;
      at(place).next = free_;
      free_ = place;
      ++free_count_;
      place = next;
    }
    kept = {};
  }
  template <class Use>
  void each(const chain& kept, Use&& use) const {
    auto left = std::size_t{kept.size};
    for (auto place = kept.first; place != none; place = at(place).next)
      for (std::size_t here = 0; here < block_size && left > 0; ++here, --left)
        use(at(place).held[here]);
  }
  /// Blocks that there are, in use or not.
  [[nodiscard]] std::size_t blocks() const { return chunks_.size() * chunk_size; }
  [[nodiscard]] std::size_t free_blocks() const { return free_count_; }

private:
  static constexpr std::size_t chunk_size = 64;
  struct block {
    std::array<candidate_record, block_size> held;
    index next = none;
  };
  using chunk = std::array<block, chunk_size>;

  [[nodiscard]] block& at(index place) { return chunks_[place / chunk_size][place % chunk_size]; }
  [[nodiscard]] const block& at(index place) const {
    return chunks_[place / chunk_size][place % chunk_size];
  }
  index take() {
    if (free_ == none)
      grow();
    const auto taken = free_;
    free_ = at(taken).next;
    --free_count_;
    return taken;
  }
  void grow() {
    const auto first = static_cast<index>(blocks());
    chunks_.emplace_back();
    for (auto place = first + static_cast<index>(chunk_size); place-- > first;) {
      at(place).next = free_;
      free_ = place;
    }
    free_count_ += chunk_size;
  }

  std::deque<chunk> chunks_; ///< Grows without moving what is there.
  index free_ = none;        ///< First of those that nobody has.
  std::size_t free_count_ = 0;
  std::int64_t promised_ = 0;
};

} // namespace consort::core
