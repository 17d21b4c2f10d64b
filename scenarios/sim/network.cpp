// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/network.hpp"

#include <algorithm>
#include <cassert>

namespace consort::sim {

network::network(event_heap& heap, const scenario_network& settings, random_source chance)
    : heap_(heap), settings_(settings), chance_(chance) {}

void network::attach(address at, network_peer& peer) {
  peers_[at] = &peer;
}

void network::detach(address at) {
  peers_.erase(at);
  for (const auto& [other, peer] : peers_)
    heap_.at(arrival(at, other),
             [this, at, to = other] { deliver_close(at, to, control_channel); });
}

void network::send(address from, address to, channel stream, messages::frame_kind kind,
                   std::span<const char> payload) {
  auto bytes = messages::write_frame(kind, payload);
  assert(bytes.ok());
  heap_.at(arrival(from, to),
           [this, from, to, stream, sent = std::move(*bytes)] { deliver(from, to, stream, sent); });
}

void network::close(address from, address to, channel stream) {
  heap_.at(arrival(from, to), [this, from, to, stream] { deliver_close(from, to, stream); });
}

time_us network::arrival(address from, address to) {
  const auto jitter
      = static_cast<duration_us>(static_cast<double>(settings_.jitter_us) * chance_.unit());
  auto& last = last_arrival_[{from, to}];
  last = std::max(last, heap_.now() + settings_.latency_us + jitter);
  return last;
}

void network::heal(address at) {
  cut_.erase(at);
  for (auto& [link, waiting] : held_) {
    if (!passes(link.first, link.second))
      continue;
    for (auto& deliver_late : waiting)
      heap_.at(arrival(link.first, link.second), std::move(deliver_late));
    waiting.clear();
  }
}

bool network::passes(address from, address to) const {
  return cut_.count(from) == 0 && cut_.count(to) == 0;
}

void network::deliver(address from, address to, channel stream, const std::vector<char>& bytes) {
  if (!passes(from, to)) {
    held_[{from, to}].emplace_back([=, this] { deliver(from, to, stream, bytes); });
    return;
  }
  const auto peer = peers_.find(to);
  if (peer == peers_.end()) { // Nobody listens there: the sender's connection is refused.
    heap_.at(arrival(to, from), [this, from, to, stream] { deliver_close(to, from, stream); });
    return;
  }
  messages::frame_reader reader;
  reader.feed(bytes);
  const auto received = reader.next();
  assert(received.ok() && received->has_value());
  ++frames_;
  digest_ = fold(digest_, static_cast<std::uint64_t>(heap_.now()));
  digest_ = fold(fold(digest_, from), to);
  digest_ = fold(digest_, std::string_view(bytes.data(), bytes.size()));
  peer->second->on_frame(from, stream, **received);
}

void network::deliver_close(address from, address to, channel stream) {
  if (!passes(from, to)) {
    held_[{from, to}].emplace_back([=, this] { deliver_close(from, to, stream); });
    return;
  }
  if (const auto peer = peers_.find(to); peer != peers_.end())
    peer->second->on_closed(from, stream);
}

} // namespace consort::sim
