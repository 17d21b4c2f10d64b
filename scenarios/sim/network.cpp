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
    close(at, other, control_channel);
}

void network::send(address from, address to, channel stream, messages::frame_kind kind,
                   std::span<const char> payload) {
  auto bytes = messages::write_frame(kind, payload);
  assert(bytes.ok());
  put(from, to,
      [this, from, to, stream, sent = std::move(*bytes)] { deliver(from, to, stream, sent); });
}

void network::close(address from, address to, channel stream) {
  put(from, to, [this, from, to, stream] { deliver_close(from, to, stream); });
}

void network::put(address from, address to, event_heap::action deliver) {
  const auto jitter
      = static_cast<duration_us>(static_cast<double>(settings_.jitter_us) * chance_.unit());
  auto& way = under_way_[{from, to}];
  // Never before the frame in front of it: links keep their order.
  way.last_due = std::max(way.last_due, heap_.now() + settings_.latency_us + jitter);
  way.entries.push_back({way.last_due, std::move(deliver)});
  heap_.at(way.last_due, [this, from, to] { pump({from, to}); });
}

void network::pump(const ends& which) {
  auto& entries = under_way_[which].entries;
  while (!entries.empty() && entries.front().due <= heap_.now() && passes(which)) {
    // Out of the queue first: delivering may send on this very link.
    const auto next = std::move(entries.front().deliver);
    entries.pop_front();
    next();
  }
}

void network::heal(address at) {
  cut_.erase(at);
  for (const auto& [which, way] : under_way_)
    if (!way.entries.empty())
      heap_.after(settings_.latency_us, [this, waiting = which] { pump(waiting); });
}

bool network::passes(const ends& which) const {
  return cut_.count(which.first) == 0 && cut_.count(which.second) == 0;
}

void network::deliver(address from, address to, channel stream, const std::vector<char>& bytes) {
  if (stream == control_channel && severed_.count(std::minmax(from, to)) != 0)
    return;
  const auto peer = peers_.find(to);
  if (peer == peers_.end()) // Nobody listens there: the sender's connection is refused.
    return close(to, from, stream);
  messages::frame_reader reader;
  reader.feed(bytes);
  const auto received = reader.next();
  assert(received.ok() && received->has_value());
  // Times and bytes of every frame are the run's fingerprint.
  ++frames_;
  digest_ = fold(digest_, static_cast<std::uint64_t>(heap_.now()));
  digest_ = fold(fold(digest_, from), to);
  digest_ = fold(digest_, std::string_view(bytes.data(), bytes.size()));
  peer->second->on_frame(from, stream, **received);
}

void network::deliver_close(address from, address to, channel stream) {
  if (const auto peer = peers_.find(to); peer != peers_.end())
    peer->second->on_closed(from, stream);
}

} // namespace consort::sim
