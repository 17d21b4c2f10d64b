// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Strong identifiers and integer units. Every id is its own type, ordered and comparable by value,
/// so that ties break by id and no map in the core depends on addresses. Times are integers;
/// nothing here reads a clock.

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace consort {

/// Microseconds on one monotonic axis chosen by the driver (the production actor: since process
/// start; the simulator: virtual).
using time_us = std::int64_t;
/// A span of microseconds.
using duration_us = std::int64_t;

/// A name as people type it; `Tag` keeps names of different things apart.
template <class Tag>
struct strong_name {
  std::string value;

  strong_name() = default;
  explicit strong_name(std::string text) : value(std::move(text)) {}

  [[nodiscard]] bool empty() const { return value.empty(); }
  friend auto operator<=>(const strong_name&, const strong_name&) = default;
};

/// A number that identifies; `Tag` keeps numbers of different things apart. 0 means "none"
/// everywhere.
template <class Tag>
struct strong_number {
  std::uint64_t value = 0;

  strong_number() = default;
  explicit constexpr strong_number(std::uint64_t number) : value(number) {}

  [[nodiscard]] explicit operator bool() const { return value != 0; }
  friend auto operator<=>(const strong_number&, const strong_number&) = default;
};

/// A host running an agent, e.g. `local`, `edge-3`.
using node_id = strong_name<struct node_tag>;
/// A device on a node, `<node>/<type><n>`, e.g. `edge-3/npu0`; a partition is `<parent>.<n>`.
using device_id = strong_name<struct device_tag>;
/// A served model name or alias.
using model_name = strong_name<struct model_tag>;
/// SHA-256 of content, 64 lower-case hex digits.
using digest = strong_name<struct digest_tag>;
/// Who submitted the work; empty is the anonymous tenant.
using tenant_id = strong_name<struct tenant_tag>;
/// A scheduling profile, built-in or configured, e.g. `latency`.
using policy_name = strong_name<struct policy_tag>;

/// Random id of one process start; fences messages of an earlier life.
using incarnation = strong_number<struct incarnation_tag>;
/// Counts lease grants of a node; a ticket names the epoch it was granted under.
using epoch = strong_number<struct epoch_tag>;
/// Identify allocations, instances and compiles; issued by the core, never reused in one scheduler
/// life.
using allocation_id = strong_number<struct allocation_tag>;
using instance_id = strong_number<struct instance_tag>;
using compile_id = strong_number<struct compile_tag>;
/// Names one gateway process (its incarnation).
using gateway_id = strong_number<struct gateway_tag>;

/// One inference. Unique across gateways because it carries the gateway's incarnation.
struct request_id {
  gateway_id gateway;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const request_id&, const request_id&) = default;
};

/// One try of a request; attempts count from 1.
struct attempt_id {
  request_id request;
  std::uint32_t number = 0;
  friend auto operator<=>(const attempt_id&, const attempt_id&) = default;
};

} // namespace consort
