// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Device selectors, as people type them wherever a device is asked for: `auto`, a type (`npu`), an
/// id or glob (`edge-*/npu0`), `tag=`, `vendor=`, `model=`, `node=`; commas mean and, `|` means or
/// and binds weaker, `!` negates one term. Pure values.

#include "scheduler/resources.hpp"
#include "scheduler/result.hpp"

#include <string_view>

namespace consort::core {

class selector {
public:
  /// Refusals (`selector_malformed`): empty terms, unknown keys, more than
  /// limits::selector_bytes_max bytes or limits::selector_terms_max terms.
  [[nodiscard]] static result<selector> parse(std::string_view text);

  [[nodiscard]] bool matches(const device_spec& device) const;
  /// Whether it is `auto`: every device.
  [[nodiscard]] bool everything() const { return everything_; }

private:
  enum class field : std::uint8_t { any, type, id, tag, vendor, model, node };
  struct term {
    field what = field::any;
    bool negated = false;
    std::string value;
  };
  static result<term> parse_term(std::string_view text);
  static bool matches(const term& wanted, const device_spec& device);

  std::vector<std::vector<term>> any_of_; ///< Or of ands.
  bool everything_ = false;
};

/// `*` matches any run, `?` any one character; case matters.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

/// `gpu`, `npu`, `pim`, `cpu`, `remote`, `hybrid`.
[[nodiscard]] std::string_view word(resource_type type);

} // namespace consort::core
