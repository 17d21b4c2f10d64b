// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/network.hpp"

#include <algorithm>
#include <cassert>

namespace consort::sim {

network::network(event_heap& heap, const scenario_network& settings, std::uint64_t seed)
    : heap_(heap),
      settings_(settings),
      chance_(seed, "network"),
      trouble_chance_(seed, "network troubles") {}

void network::attach(address at, network_peer& peer) {
  if (at >= peers_.size())
    peers_.resize(at + 1);
  peers_[at] = &peer;
}

void network::detach(address at) {
  if (at < peers_.size())
    peers_[at] = nullptr;
  if (at >= deaths_.size())
    deaths_.resize(at + 1);
  ++deaths_[at];
  for (address other = 0; other < peers_.size(); ++other)
    if (peers_[other] != nullptr)
      close(at, other, control_channel);
}

network_peer* network::peer_at(address at) const {
  return at < peers_.size() ? peers_[at] : nullptr;
}

network::contents& network::take_contents() {
  if (unused_.empty())
    return store_.emplace_back();
  auto& made = *unused_.back();
  unused_.pop_back();
  made.copies = 1;
  return made;
}

/// One copy less is under way.
void network::let_go(contents& what) {
  if (--what.copies > 0)
    return;
  what.bytes.clear();
  what.value.reset();
  unused_.push_back(&what);
}

void network::send(address from, address to, channel stream, messages::frame_kind kind,
                   std::span<const char> payload) {
  auto bytes = messages::write_frame(kind, payload);
  assert(bytes.ok());
  auto& what = take_contents();
  what.bytes = std::move(*bytes);
  put({from, to, stream, &what});
}

void network::close(address from, address to, channel stream) {
  const auto due = put({from, to, stream, nullptr});
  if (stream == control_channel)
    ends_[{from, to}] = due;
}

bool network::suffer(address at, channel stream, duration_us& delay) {
  const auto found = troubles_.find(at);
  if (found == troubles_.end())
    return false;
  const auto& now = found->second;
  auto wait = limits::resend_us;
  for (std::uint32_t tries = 0; now.loss > 0 && tries < limits::resends_max; ++tries) {
    if (trouble_chance_.unit() >= now.loss)
      break;
    delay += wait;
    wait *= 2;
  }
  if (now.reorder_us > 0)
    delay += static_cast<duration_us>(static_cast<double>(now.reorder_us) * trouble_chance_.unit());
  // A stream's frames carry text: TCP never repeats those, a link that is dialled again may.
  return now.duplicate > 0 && stream == control_channel && trouble_chance_.unit() < now.duplicate;
}

network::way network::way_of(const shipment& sent) {
  const auto lane = sent.stream == control_channel
                        ? 0U
                        : 1U + static_cast<std::uint32_t>(sent.stream % stream_lanes);
  return {sent.from, sent.to, lane};
}

time_us& network::last_due(const way& which) {
  const auto [low, high] = std::minmax(which.from, which.to);
  if (low >= first_node_address)
    return other_dues_[(std::uint64_t{which.from} << 32U | which.to) * lanes + which.lane];
  const auto pair = (std::size_t{high} * first_node_address + low) * 2 + (which.from == low);
  const auto place = pair * lanes + which.lane;
  if (place >= hub_dues_.size())
    hub_dues_.resize(std::max(place + 1, hub_dues_.size() * 2));
  return hub_dues_[place];
}

time_us network::put(shipment sent) {
  sent.deaths = deaths_at(sent.to);
  const auto jitter
      = static_cast<duration_us>(static_cast<double>(settings_.jitter_us) * chance_.unit());
  auto delay = settings_.latency_us + jitter;
  const bool twice
      = !troubles_.empty()
        && (int{suffer(sent.from, sent.stream, delay)} + int{suffer(sent.to, sent.stream, delay)})
               > 0;
  auto& due = last_due(way_of(sent));
  // Never before the frame in front of it: a connection keeps its order.
  due = std::max(due, heap_.now() + delay);
  if (twice) {
    if (sent.what != nullptr)
      ++sent.what->copies;
    heap_.at(due, [this, sent] { arrive(sent); });
  }
  heap_.at(due, [this, sent] { arrive(sent); });
  return due;
}

void network::arrive(const shipment& sent) {
  if (held_.empty() && deaf_.empty() && mute_.empty())
    return deliver(sent);
  const auto which = way_of(sent);
  const auto found = held_.find(which);
  if (found == held_.end() && passes(which))
    return deliver(sent);
  held_[which].push_back(sent);
}

void network::pump(const way& which) {
  const auto found = held_.find(which);
  if (found == held_.end())
    return;
  auto& waiting = found->second;
  while (!waiting.empty() && passes(which)) {
    // Out of the queue first: delivering may send on this very link.
    const auto next = std::move(waiting.front());
    waiting.pop_front();
    deliver(next);
  }
  if (waiting.empty())
    held_.erase(found);
}

void network::cut(address at, fault_direction direction) {
  if (direction != fault_direction::outbound)
    deaf_.insert(at);
  if (direction != fault_direction::inbound)
    mute_.insert(at);
}

void network::heal(address at) {
  deaf_.erase(at);
  mute_.erase(at);
  for (const auto& [which, waiting] : held_) {
    heap_.after(settings_.latency_us, [this, which = which] { pump(which); });
    const auto end = ends_.find({which.from, which.to});
    if (end != ends_.end())
      end->second = std::max(end->second, heap_.now() + settings_.latency_us);
  }
}

bool network::passes(const way& which) const {
  return mute_.count(which.from) == 0 && deaf_.count(which.to) == 0;
}

void network::deliver(const shipment& sent) {
  auto* peer = peer_at(sent.to);
  if (peer != nullptr && sent.deaths != deaths_at(sent.to)) {
    // Of a connection with its predecessor, whose end the sender hears by itself.
    if (sent.what != nullptr)
      let_go(*sent.what);
    return;
  }
  if (sent.what == nullptr) {
    if (peer != nullptr)
      peer->on_closed(sent.from, sent.stream);
    return;
  }
  const bool lost = sent.stream == control_channel && !severed_.empty()
                    && severed_.count(std::minmax({sent.from, sent.to})) != 0;
  if (!lost && peer != nullptr)
    hand_to(*peer, sent);
  else if (!lost) // Nobody listens there: the sender's connection is refused.
    close(sent.to, sent.from, sent.stream);
  let_go(*sent.what);
}

void network::hand_to(network_peer& peer, const shipment& sent) {
  const auto& what = *sent.what;
  // Times and bytes of every frame are the run's fingerprint.
  ++frames_;
  digest_ = fold(digest_, static_cast<std::uint64_t>(heap_.now()));
  digest_ = fold(fold(digest_, sent.from), sent.to);
  if (what.value) {
    digest_ = fold(digest_, what.value->index());
    return peer.on_parcel(sent.from, sent.stream, *what.value);
  }
  digest_ = fold(digest_, std::string_view(what.bytes.data(), what.bytes.size()));
  messages::frame_reader reader;
  reader.feed(what.bytes);
  const auto received = reader.next();
  assert(received.ok() && received->has_value());
  peer.on_frame(sent.from, sent.stream, **received);
}

} // namespace consort::sim
