// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The word for an error that trying again does not mend. Pure.

#include "scheduler/result.hpp"

#include <string>
#include <utility>

namespace consort::links {

/// `code` is a literal: what tests and operators match; `message` says what and where.
[[nodiscard]] inline error refuse(const char* code, std::string message) {
  return {recovery::refuse, code, std::move(message)};
}

} // namespace consort::links
