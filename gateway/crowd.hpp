// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who gives way when there are as many connections as may be. Of the address with most of them an
/// idle one, else one that takes its time to ask; so one address can hold every place only while
/// nobody else comes, and never keeps another out. What is being answered stays: a proxy before us
/// is one address, and its requests are everybody's. Pure; loopback is an address like others.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace consort::gateway {

/// What a connection does.
enum class stage : std::uint8_t {
  idle,    ///< Nothing of a request has come.
  asking,  ///< Some of a request has, or is being refused.
  serving, ///< It is being answered.
};

struct guest {
  std::uint64_t number; ///< In order of arrival.
  std::string key;      ///< What its address counts as.
  stage now;
  std::int64_t since_us; ///< In that stage, on any one clock.
};

/// Assumes: `all` holds everybody, also who is about to leave. Algorithm: `wanted` times the
/// address that then has most connections among those with one to give loses one; ties go to the
/// one whose candidate has been as it is for longest. Within an address idle ones go before asking
/// ones, then by since_us, then by number. Returns: numbers; fewer where all others are served.
[[nodiscard]] std::vector<std::uint64_t> who_gives_way(std::vector<guest> all, std::size_t wanted);

} // namespace consort::gateway
