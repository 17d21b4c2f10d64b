// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the bytes and the silence of one peer mean: takes frames out of the stream, lets through
/// the kinds that this peer may send, counts rates, and knows when to show or miss a sign of life.
/// Pure: no socket, clock or thread; time is a parameter, on one axis that never goes back. Its
/// owner reads, writes, waits and closes.

#include "links/hello_check.hpp"
#include "links/throttle.hpp"
#include "messages/frame.hpp"

#include <vector>

namespace consort::links {

/// Kinds of frames that a peer of that role may send on a link. Nothing for an admin.
[[nodiscard]] bool may_send(peer_role role, messages::frame_kind kind);

/// What a timer's tick demands.
enum class tick_action : std::uint8_t {
  none,
  beat,   ///< Send an empty heartbeat.
  silent, ///< The peer is gone: close with `link_silent`.
  stalled ///< What we send does not move: close with `peer_too_slow`.
};

class session {
public:
  /// Before admit() nothing but one hello of bounded size is let through.
  session(const limits::limit_set& limits, time_us now);
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// From now on, what `role` may send. With `rules` every further hello is judged by them, so that
  /// nobody changes name in mid-link; they must outlive the session.
  void admit(peer_role role, const hello_rules* rules);

  /// Ours is the hello: no heartbeat is due before something was written, however long its owner
  /// takes, for the other end takes what comes first for the hello.
  void greet() { greeting_ = true; }

  /// Bytes came.
  void feed(std::span<const char> bytes, time_us now);
  /// Returns: the next frame to hand on (the link's own heartbeats are not); nothing when more
  /// bytes are needed; or a final error, by which the owner closes: frame errors, `wrong_kind`,
  /// `not_hello`, those of judge_hello(), `peer_too_fast`.
  [[nodiscard]] result<std::optional<messages::frame>> next(time_us now);
  /// How long not to read now, for the sake of the rates. Call it once after next() ran dry; the
  /// peer is not silent meanwhile.
  [[nodiscard]] duration_us pause(time_us now);

  /// The peer was not read for reasons of our own: it is not silent.
  void excuse(time_us now) { heard_at_ = std::max(heard_at_, now); }

  /// A write began, moved, or ended because all is sent.
  void writing(time_us now);
  void written(time_us now);

  /// When to call tick() next; only ever moves on.
  [[nodiscard]] time_us next_tick() const;
  /// A tick that comes late says that this process slept, so that a peer which seems silent gets
  /// two more heartbeats.
  [[nodiscard]] tick_action tick(time_us now);

  /// Bytes of an unfinished frame.
  [[nodiscard]] std::size_t buffered() const { return reader_.buffered(); }

private:
  [[nodiscard]] std::optional<error> check_header(messages::frame_kind kind,
                                                  std::size_t payload_bytes) const;
  [[nodiscard]] std::optional<error> check_frame(const messages::frame& frame) const;

  const duration_us heartbeat_;
  const duration_us silence_;
  const duration_us write_stall_;
  const std::size_t hello_bytes_;
  const token_bucket node_frames_;
  const duration_us node_pauses_;
  throttle throttle_;
  messages::frame_reader reader_;
  std::optional<peer_role> admitted_;
  const hello_rules* rules_ = nullptr;
  time_us heard_at_;
  time_us sent_at_;
  time_us ticked_at_;
  std::optional<time_us> writing_since_; ///< Or since it last moved.
  bool greeting_ = false;
};

} // namespace consort::links
