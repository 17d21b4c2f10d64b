// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The logger named "links". Lines carry addresses and names and never tokens, keys or payloads.

#include <spdlog/spdlog.h>

namespace consort::links {

/// The registered logger, else a copy of the default one. Thread-safe; the reference lives for
/// ever.
[[nodiscard]] spdlog::logger& log();

} // namespace consort::links
