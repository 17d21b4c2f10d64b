// SPDX-License-Identifier: Apache-2.0
#include "actors/link_actors.hpp"

#include "actors/caf_compat.hpp"
#include "messages/codec.hpp"

namespace consort::actors {

namespace {

bool refuses(const frame& outgoing) {
  if (static_cast<messages::frame_kind>(outgoing.kind) != messages::frame_kind::hello_answer)
    return false;
  const auto answer = messages::decode_hello_answer(outgoing.bytes);
  return answer && answer->body.refusal;
}

} // namespace

peer_state::peer_state(caf::event_based_actor* self, std::shared_ptr<const link_ends> ends)
    : self_(self), ends_(std::move(ends)) {}

peer_state::~peer_state() {
  ends_->close();
}

caf::behavior peer_state::make_behavior() {
  return {
      [this](const frame& outgoing) {
        ends_->send(outgoing);
        if (refuses(outgoing))
          stop(caf::actor_cast<caf::actor>(self_));
      },
  };
}

uplink_state::uplink_state(caf::event_based_actor* self) : self_(self) {}

uplink_state::~uplink_state() {
  if (ends_)
    ends_->close();
}

caf::behavior uplink_state::make_behavior() {
  return {
      [this](const frame& outgoing) {
        if (ends_)
          ends_->send(outgoing);
      },
      [](const leave_wanted& told) { told.said(); }, // What was sent before it is on its way.
      [this](const uplink_owner& named) {
        owner_ = named.owner;
        if (ends_)
          post(self_, owner_, link_restored{});
      },
      [this](const link_opened& link) { opened(link); },
      [this](const link_closed& link) { closed(link.number); },
      [this](const link_frame& incoming) { received(incoming); },
  };
}

void uplink_state::opened(const link_opened& link) {
  if (link.number <= number_)
    return; // Overtaken by a newer one.
  if (ends_)
    ends_->close();
  number_ = link.number;
  ends_ = link.ends;
  if (owner_)
    post(self_, owner_, link_restored{});
}

void uplink_state::closed(std::uint64_t number) {
  if (number != number_ || !ends_)
    return;
  ends_.reset();
  if (owner_)
    post(self_, owner_, link_lost{});
}

void uplink_state::received(const link_frame& incoming) {
  if (incoming.number == number_ && owner_)
    post(self_, owner_, incoming.what);
}

} // namespace consort::actors
