// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Durations and sizes as people type them (`250ms`, `30s`, `4GiB`), and back. Pure functions; used
/// by configuration, plugin files, scenario files and HTTP headers alike.

#include "scheduler/ids.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace consort {

/// Parses a non-negative decimal number with one unit of `us ms s m h d`, e.g. `250ms`, `1.5s`; a
/// bare `0` is allowed. Returns: microseconds, or nothing when malformed or above 10 years.
[[nodiscard]] std::optional<duration_us> parse_duration(std::string_view text);

/// Parses a non-negative decimal number with one unit of `B KiB MiB GiB TiB kB MB GB TB`; a bare
/// number is bytes. Returns: bytes, or nothing when malformed or above 2^53.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// The shortest of `us ms s m h d` that keeps three significant digits, e.g. `12.3ms`.
[[nodiscard]] std::string format_duration(duration_us span);

/// Binary units with three significant digits, e.g. `9.36MiB`.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// What fits of a text in UTF-8, up to a whole character.
[[nodiscard]] std::string cut_text(std::string_view text, std::size_t bytes_max);

} // namespace consort
