// SPDX-License-Identifier: Apache-2.0
#include "links/session.hpp"

#include "links/refusal.hpp"

#include <algorithm>

namespace consort::links {

namespace {

using messages::frame_kind;

bool own_heartbeat(const messages::frame& frame) {
  return frame.kind == frame_kind::heartbeat && frame.payload.empty();
}

} // namespace

bool may_send(peer_role role, frame_kind kind) {
  switch (kind) {
  case frame_kind::heartbeat: return role != peer_role::admin;
  case frame_kind::hello:
  case frame_kind::event: return role == peer_role::node || role == peer_role::gateway;
  case frame_kind::query: return role == peer_role::gateway || role == peer_role::scheduler;
  case frame_kind::query_answer: return role == peer_role::scheduler || role == peer_role::node;
  case frame_kind::hello_answer:
  case frame_kind::command: return role == peer_role::scheduler;
  default: return false;
  }
}

session::session(const limits::limit_set& limits, time_us now)
    : heartbeat_(limits.heartbeat),
      silence_(limits.silence),
      write_stall_(limits.write_stall),
      hello_bytes_(limits.hello_bytes),
      node_frames_(limits.node_frames_rate, limits.node_frames_at_once),
      node_pauses_(limits.node_pauses),
      throttle_(limits),
      reader_([this](frame_kind kind, std::size_t bytes) { return check_header(kind, bytes); }),
      heard_at_(now),
      sent_at_(now),
      ticked_at_(now) {}

void session::admit(peer_role role, const hello_rules* rules) {
  admitted_ = role;
  rules_ = rules;
  if (role == peer_role::node)
    throttle_.narrow(node_frames_, node_pauses_);
}

std::optional<error> session::check_header(frame_kind kind, std::size_t payload_bytes) const {
  if (!admitted_ && kind != frame_kind::hello)
    return refuse("not_hello",
                  "the first frame is a " + std::string(messages::name_of(kind)) + ", not a hello");
  if (kind == frame_kind::hello && payload_bytes > hello_bytes_)
    return refuse("frame_too_large", "hello of " + std::to_string(payload_bytes)
                                         + " bytes; the limit is " + std::to_string(hello_bytes_));
  if (admitted_ && !may_send(*admitted_, kind))
    return refuse("wrong_kind", "a " + std::string(name_of(*admitted_)) + " may not send a frame `"
                                    + std::string(messages::name_of(kind)) + "`");
  return std::nullopt;
}

/// Repeated hellos of a link that has rules.
std::optional<error> session::check_frame(const messages::frame& frame) const {
  if (rules_ == nullptr || frame.kind != frame_kind::hello)
    return std::nullopt;
  const auto judged = judge_hello(frame, *rules_);
  return judged ? std::nullopt : std::optional(judged.failure());
}

void session::feed(std::span<const char> bytes, time_us now) {
  heard_at_ = now;
  throttle_.received(0, static_cast<std::int64_t>(bytes.size()), now);
  reader_.feed(bytes);
}

result<std::optional<messages::frame>> session::next(time_us now) {
  if (throttle_.abused())
    return refuse("peer_too_fast", "the peer sends more than the limits, without a calm moment");
  for (;;) {
    auto taken = reader_.next();
    if (!taken || !*taken)
      return taken;
    throttle_.received(1, 0, now);
    if (own_heartbeat(**taken))
      continue;
    if (auto refusal = check_frame(**taken))
      return *std::move(refusal);
    return taken;
  }
}

duration_us session::pause(time_us now) {
  const auto span = throttle_.pause(now);
  heard_at_ = std::max(heard_at_, now + span);
  return span;
}

void session::writing(time_us now) {
  sent_at_ = now;
  writing_since_ = now;
  greeting_ = false;
}

void session::written(time_us now) {
  sent_at_ = now;
  writing_since_.reset();
}

time_us session::next_tick() const {
  return std::min(heard_at_ + silence_, std::max(sent_at_, ticked_at_) + heartbeat_);
}

tick_action session::tick(time_us now) {
  const auto late = now - next_tick();
  ticked_at_ = now;
  if (late > heartbeat_) {
    const auto grace = now + 2 * heartbeat_;
    heard_at_ = std::max(heard_at_, grace - silence_);
    if (writing_since_)
      writing_since_ = std::max(*writing_since_, grace - write_stall_);
  }
  if (now >= heard_at_ + silence_)
    return tick_action::silent;
  if (writing_since_)
    return now >= *writing_since_ + write_stall_ ? tick_action::stalled : tick_action::none;
  return !greeting_ && now >= sent_at_ + heartbeat_ ? tick_action::beat : tick_action::none;
}

} // namespace consort::links
