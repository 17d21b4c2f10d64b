// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One established connection between two processes: frames out, frames in, and the watch over
/// both. Made by a guard or a connector after every check; a user only sends, hears and closes.
///
/// Limits: unsent frames and their bytes; rate of what is received (reading pauses, so that TCP
/// slows the peer; a peer that never calms down is cut); frames handed on and not done with;
/// silence. An empty frame of kind heartbeat is the link's own sign of life and is not handed on.
/// Threads: everything may be called on any thread; callbacks run one at a time, on a thread of the
/// io_context.

#include "links/identity.hpp"
#include "links/limits.hpp"
#include "messages/frame.hpp"

#include <functional>
#include <memory>

namespace consort::links {

class link_core;

/// Of a frame that somebody still works on.
using frame_hold = std::shared_ptr<const void>;

/// Both are required.
struct link_callbacks {
  std::function<void(messages::frame)> on_frame;
  /// Last call, exactly once; why says who ended it: `link_silent`, `peer_too_slow`,
  /// `peer_too_fast`, `link_lost` (the other end or the network), a frame error, or close()'s word.
  std::function<void(const error& why)> on_closed;
};

class link : public std::enable_shared_from_this<link> {
public:
  explicit link(std::shared_ptr<link_core> core);
  /// Closes at once. A started link lives until it is closed, held by nobody else.
  ~link();
  link(const link&) = delete;
  link& operator=(const link&) = delete;

  /// Begins to read; frames sent earlier are already under way. Requires: called once. Callbacks
  /// are released after on_closed.
  void start(link_callbacks callbacks);

  /// Queues a frame. Returns: false when nothing will be sent: the link is closed, or closes now
  /// because the queue is full, or the frame alone is over its kind's limit (logged).
  bool send(const messages::frame& outgoing);

  /// Hands nothing on from now; sends what is queued and waits for the other end to see it, within
  /// limits::drain_us; then ends, and on_closed gets `why`. Later calls change nothing.
  void close(const error& why);

  /// For use in on_frame: the frame counts as unread until the hold is gone. At limits::held_frames
  /// reading pauses, so that one peer never fills the mailbox that all share. May outlive the link.
  [[nodiscard]] frame_hold hold();

  [[nodiscard]] const peer_identity& peer() const;
  /// `host:port` of the other end.
  [[nodiscard]] const std::string& address() const;

private:
  std::shared_ptr<link_core> core_;
};

} // namespace consort::links
