// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The section `remote` of configuration files and of a scenario's `scheduler`: the same words and
/// the same unit in both. Money in thousandths, so that no fraction is needed. Pure.

#include "scenarios/strict_json.hpp"
#include "scheduler/core.hpp"

namespace consort::strict_json {

struct remote_settings {
  core::remote_use use = core::remote_use::free;
  std::uint64_t budget_micros_per_hour = 0; ///< 0 = unbounded.
};

/// `free`, `overflow` or `never`.
[[nodiscard]] const std::string& remote_word(core::remote_use use);

/// What is wrong goes to `first_error` with its field, if nothing was before.
[[nodiscard]] remote_settings read_remote(const value& section, std::string_view origin,
                                          std::optional<error>& first_error);

} // namespace consort::strict_json
