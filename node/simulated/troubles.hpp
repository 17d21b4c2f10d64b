// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The fault menu of a simulated node: a small text file that a rehearsal rewrites while the node
/// runs. One fault a line, `#` begins a comment; what is not listed is well. Plain values.
///
///     npu0 slow 8          steps take 8 times as long, and nothing says so
///     npu0 hot 2           twice as long, and telemetry shows the heat
///     npu0 crash 1         the runtimes die; each higher number is another crash
///     npu0 crashing        they die, and so does each new one while it loads
///     npu0 full            its memory is taken: what runs dies, nothing loads
///     npu0 answer 429 0.5  half of all attempts are answered with that HTTP status
///     compilers fail       they exit with an error; `refuse`: the same every time; `hang`: never

#include "scheduler/result.hpp"

#include <map>
#include <string>
#include <string_view>

namespace consort::node {

struct device_trouble {
  double factor = 1;
  bool hot = false;
  std::uint64_t crashes = 0; ///< So many so far.
  bool crashing = false;
  bool full = false;
  std::uint32_t status = 0; ///< What attempts are answered with; 0 = they run.
  double share = 0;         ///< Of attempts.
  friend bool operator==(const device_trouble&, const device_trouble&) = default;
};

enum class compiler_trouble : std::uint8_t { none, fail, refuse, hang };

struct simulated_troubles {
  std::map<std::string, device_trouble> devices; ///< By the device's name on its node: `npu0`.
  compiler_trouble compilers = compiler_trouble::none;
  friend bool operator==(const simulated_troubles&, const simulated_troubles&) = default;
};

/// Returns: what is wrong, with its line, code `bad_troubles`.
[[nodiscard]] result<simulated_troubles> parse_troubles(std::string_view text);
/// A file that is not there means that all is well.
[[nodiscard]] result<simulated_troubles> read_troubles(const std::string& path);
/// The same in words again.
[[nodiscard]] std::string render_troubles(const simulated_troubles& wanted);

} // namespace consort::node
