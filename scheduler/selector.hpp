// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Device selectors, as people type them wherever a device is asked for: `auto`, a type (`npu`), an
/// id or glob (`edge-*/npu0`), `tag=`, `vendor=`, `model=`, `plugin=`, `node=`, `pool=`; commas
/// mean and, `|` means or and binds weaker, `!` negates one term. A pool is a selector with a name,
/// given in the configuration; it may name other pools. Pure values.

#include "scheduler/resources.hpp"
#include "scheduler/result.hpp"

#include <map>
#include <string_view>

namespace consort::core {

/// Selectors by the names of the pools that they are.
using pool_map = std::map<std::string, std::string>;

class selector {
public:
  /// Refusals (`selector_malformed`): empty terms, unknown keys, pools that are unknown or nested
  /// deeper than limits::pool_depth_max (as one that contains itself is), more than
  /// limits::selector_bytes_max bytes or, pools included, limits::selector_terms_max terms.
  [[nodiscard]] static result<selector> parse(std::string_view text, const pool_map& pools = {});

  [[nodiscard]] bool matches(const device_spec& device) const;
  /// Whether it is `auto`: every device.
  [[nodiscard]] bool everything() const { return everything_; }

private:
  enum class field : std::uint8_t { any, type, id, tag, vendor, model, plugin, node, pool };
  struct term {
    field what = field::any;
    bool negated = false;
    std::string value;
    std::vector<selector> inside; ///< What the pool is; else empty.
  };
  /// What is common to a selector and to the pools that it names.
  struct parsing {
    const pool_map& pools;
    std::size_t terms = 0;
    std::size_t depth = 0;
  };
  static result<selector> parse(std::string_view text, parsing& all);
  static result<term> parse_term(std::string_view text, parsing& all);
  static result<term> parse_pool(std::string_view text, term named, parsing& all);
  static bool matches(const term& wanted, const device_spec& device);

  std::vector<std::vector<term>> any_of_; ///< Or of ands.
  bool everything_ = false;
};

/// `*` matches any run, `?` any one character; case matters.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

/// `gpu`, `npu`, `pim`, `cpu`, `remote`, `hybrid`.
[[nodiscard]] std::string_view word(resource_type type);

} // namespace consort::core
