// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which number each device of this host has: `npu0`, `npu0.1` for a part of it. A number belongs
/// to a hardware identity (uuid or PCI address), whichever plugin names it, and is kept in a file
/// over restarts, and while its device is away: what an operator says of `npu0` is about one chip.
/// Another device gets the number only once limits::device_numbers_max are known, of the device
/// that has been away the longest. Owned by the inventory; of its prober alone.

#include "node/limits.hpp"
#include "scheduler/result.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace consort::node {

class device_numbers {
public:
  /// Reads what `path` remembers, of at most `max` devices; empty = nothing outlives this object.
  /// What is not as it was written is left out whole, and the next settle() says so.
  explicit device_numbers(std::string path, std::size_t max = limits::device_numbers_max);

  /// A look at the hardware begins: nothing is here until it is named.
  void begin();
  /// The name that the device had before, else the lowest free number behind `stem` (`npu`,
  /// `npu0.`). Requires: both not empty.
  std::string name_of(const std::string& identity, const std::string& stem);
  /// The look is over: orders who went away, forgets beyond the bound, writes what changed.
  /// Returns: what is wrong with the file, once.
  [[nodiscard]] std::optional<error> settle();

private:
  struct known {
    std::string identity;
    std::string name;
    bool here = false;
  };
  void load();
  [[nodiscard]] bool take(std::string_view text);
  [[nodiscard]] std::string text() const;

  std::string path_;
  std::size_t max_;
  std::vector<known> all_; ///< Who is away first, the longest of all in front.
  std::set<std::string> names_;
  std::string written_; ///< What the file holds.
  std::optional<error> problem_;
};

} // namespace consort::node
