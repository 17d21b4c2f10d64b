// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is to be looked at, and when; each timer once, earliest first. What fired lends its memory
/// to what is armed next, so that a steady state allocates nothing; at most spare_max are kept for
/// that. Owned by core_state.

#include "scheduler/ids.hpp"

#include <compare>
#include <set>
#include <utility>
#include <vector>

namespace consort::core {

enum class timer_kind : std::uint8_t {
  lease,
  allocation,
  instance,
  compile,
  fetch,
  model,
  pair,
  gateway,
  drain_node,
  drain_device,
  withdraw,
  look,
  found,
  trust
};
/// Fires at `at`; whoever it names looks whether it is really due and else arms again.
struct timer {
  time_us at = 0;
  timer_kind kind = timer_kind::lease;
  std::uint64_t who = 0; ///< Row index, or id for allocations and compiles.
  friend auto operator<=>(const timer&, const timer&) = default;
};

class timer_set {
public:
  static constexpr std::size_t spare_max = 1'024;

  timer_set() = default;
  ~timer_set() = default;
  /// A copy has the timers, and its own memory.
  timer_set(const timer_set& other) : armed_(other.armed_) {}
  timer_set& operator=(const timer_set& other) {
    armed_ = other.armed_;
    return *this;
  }
  timer_set(timer_set&&) = default;
  timer_set& operator=(timer_set&&) = default;

  [[nodiscard]] bool empty() const { return armed_.empty(); }
  [[nodiscard]] std::size_t size() const { return armed_.size(); }
  /// Requires: not empty.
  [[nodiscard]] const timer& first() const { return *armed_.begin(); }
  /// In order.
  [[nodiscard]] auto begin() const { return armed_.begin(); }
  [[nodiscard]] auto end() const { return armed_.end(); }

  /// Nothing when it is there already.
  void insert(const timer& one) {
    if (spare_.empty()) {
      armed_.insert(one);
      return;
    }
    auto node = std::move(spare_.back());
    spare_.pop_back();
    node.value() = one;
    auto done = armed_.insert(std::move(node));
    if (!done.inserted)
      keep(std::move(done.node));
  }
  void erase(const timer& one) { keep(armed_.extract(one)); }
  /// Requires: not empty.
  timer take_first() {
    auto node = armed_.extract(armed_.begin());
    const auto taken = node.value();
    keep(std::move(node));
    return taken;
  }

private:
  using node_type = std::set<timer>::node_type;
  void keep(node_type node) {
    if (!node.empty() && spare_.size() < spare_max)
      spare_.push_back(std::move(node));
  }

  std::set<timer> armed_;
  std::vector<node_type> spare_;
};

} // namespace consort::core
