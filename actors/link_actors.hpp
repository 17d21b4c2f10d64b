// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where links meet actors. On the scheduler's side one `peer` actor stands for each process that a
/// link leads to; in a node or gateway process one `uplink` actor stands for the scheduler,
/// whichever link leads there just now. Both pass frames on, and a peer ends behind a refusal;
/// hellos, fences and leases are their neighbours' business.

#include "actors/interfaces.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace consort::actors {

/// An open link as an actor uses it: both functions are thread-safe, never block, and may be called
/// after the link has closed.
struct link_ends {
  std::function<void(frame)> send;
  std::function<void()> close;
};

/// Whoever starts the process -> uplink: who speaks to the scheduler through it.
struct uplink_owner {
  caf::actor owner;
};
/// Connector -> uplink: this link leads to the scheduler now. A later one replaces it.
struct link_opened {
  std::uint64_t number = 0; ///< Of this process's links, rising.
  std::shared_ptr<const link_ends> ends;
};
/// Connector -> uplink: that link is gone.
struct link_closed {
  std::uint64_t number = 0;
};
/// Connector -> uplink: a frame of the scheduler.
struct link_frame {
  std::uint64_t number = 0;
  frame what;
};
/// Uplink -> owner: a fresh link; whoever speaks on it says hello first.
struct link_restored {};
/// Uplink -> owner: nothing reaches the scheduler until link_restored.
struct link_lost {};

/// Guard, in a peer's name -> scheduler: that peer's certificate is revoked. Its link's end
/// follows.
struct peer_revoked {};

/// Passes the scheduler's frames to one process. Ends when its link closes (the holder stops it),
/// when the scheduler does, or behind a refusal, which is the last word to that link; ending closes
/// the link once all is sent.
class peer_state {
public:
  static inline const char* name = "peer";

  peer_state(caf::event_based_actor* self, std::shared_ptr<const link_ends> ends);
  ~peer_state();
  caf::behavior make_behavior();

private:
  caf::event_based_actor* self_;
  std::shared_ptr<const link_ends> ends_;
};

/// Stands for the scheduler in a node or gateway process. Frames sent while no link is open are
/// dropped: its owner says hello again and repeats what matters.
class uplink_state {
public:
  static inline const char* name = "uplink";

  explicit uplink_state(caf::event_based_actor* self);
  ~uplink_state();
  caf::behavior make_behavior();

private:
  void opened(const link_opened& link);
  void closed(std::uint64_t number);
  void received(const link_frame& incoming);

  caf::event_based_actor* self_;
  caf::actor owner_;
  std::uint64_t number_ = 0;
  std::shared_ptr<const link_ends> ends_; ///< Null while no link is open.
};

} // namespace consort::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::uplink_owner)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::link_opened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::link_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::link_frame)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::link_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::link_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(consort::actors::peer_revoked)
