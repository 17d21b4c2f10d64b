// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long a server asks to be left alone, in every form that servers write it. Pure.

#include "scheduler/ids.hpp"

#include <optional>
#include <string_view>

namespace consort::node {

/// From now: `12`, `0.5` (seconds), `6m0s`, `12ms`, `1h2m3.5s` (durations), `1767225600` and
/// `1767225600000` (seconds and milliseconds since 1970, told from spans by their size), `Thu, 01
/// Jan 2026 00:00:00 GMT`, `2026-01-01T00:00:00Z`. `now_s` is the time since 1970. Returns: nothing
/// for other texts; 0 for what is over; at most limits::server_closed_us_max.
[[nodiscard]] std::optional<duration_us> parse_wait(std::string_view text, std::int64_t now_s);

} // namespace consort::node
