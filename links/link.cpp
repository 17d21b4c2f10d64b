// SPDX-License-Identifier: Apache-2.0
#include "links/link.hpp"

#include "links/link_core.hpp"

namespace consort::links {

link::link(std::shared_ptr<link_core> core) : core_(std::move(core)) {}

link::~link() {
  core_->release();
}

void link::start(link_callbacks callbacks) {
  core_->start(std::move(callbacks));
}

bool link::send(const messages::frame& outgoing) {
  return core_->send(outgoing);
}

void link::close(const error& why) {
  core_->close(why);
}

frame_hold link::hold() {
  return core_->hold();
}

const peer_identity& link::peer() const {
  return core_->peer;
}

const std::string& link::address() const {
  return core_->address;
}

} // namespace consort::links
