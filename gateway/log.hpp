// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The logger named "gateway". Lines carry request ids and never bodies, prompts or keys.

#include <spdlog/spdlog.h>

namespace consort::gateway {

/// The registered logger, else a copy of the default one. Thread-safe; the reference lives for
/// ever.
[[nodiscard]] spdlog::logger& log();

} // namespace consort::gateway
