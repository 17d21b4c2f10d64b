// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Measures what quantisation cost: runs a held-out text through the source and the quantised model
/// and compares their next-token distributions at every position. Bounded by
/// limits::calibration_tokens_max tokens; blocking; not thread-safe.

#include "node/plugins/reference/engine_file.hpp"

#include <functional>
#include <string>

namespace consort::reference {

struct calibration_input {
  std::string source_path;
  std::string quantised_path;
  std::string text;
  std::uint32_t threads = 1;
  std::function<void(double share)> progress; ///< May be empty; share of the work done, 0 to 1.
};

/// Failures: `bad_model` (a model does not load, or the text has too few tokens for it), else the
/// engine's own.
[[nodiscard]] result<engine_quality> calibrate(const calibration_input& input);

} // namespace consort::reference
