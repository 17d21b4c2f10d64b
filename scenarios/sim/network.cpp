// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/network.hpp"

#include <algorithm>
#include <cassert>

namespace consort::sim {

namespace {

/// Streams between the same two share these connections, so that one of them can be late alone.
constexpr std::uint64_t stream_lanes = 7;

} // namespace

network::network(event_heap& heap, const scenario_network& settings, std::uint64_t seed)
    : heap_(heap),
      settings_(settings),
      chance_(seed, "network"),
      trouble_chance_(seed, "network troubles") {}

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
  put({from, to, stream, std::make_shared<const contents>(contents{std::move(*bytes), {}})});
}

void network::hand_over(address from, address to, channel stream, parcel what) {
  put({from, to, stream, std::make_shared<const contents>(contents{{}, std::move(what)})});
}

void network::close(address from, address to, channel stream) {
  put({from, to, stream, nullptr});
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

void network::put(shipment sent) {
  const auto jitter
      = static_cast<duration_us>(static_cast<double>(settings_.jitter_us) * chance_.unit());
  auto delay = settings_.latency_us + jitter;
  const bool twice
      = !troubles_.empty()
        && (int{suffer(sent.from, sent.stream, delay)} + int{suffer(sent.to, sent.stream, delay)})
               > 0;
  const auto which = way_of(sent);
  auto& due
      = last_due_[(std::uint64_t{which.from} << 32U | which.to) * (stream_lanes + 1) + which.lane];
  // Never before the frame in front of it: a connection keeps its order.
  due = std::max(due, heap_.now() + delay);
  if (twice)
    heap_.at(due, [this, sent] { arrive(sent); });
  heap_.at(due, [this, sent = std::move(sent)] { arrive(sent); });
}

void network::arrive(shipment sent) {
  const auto which = way_of(sent);
  const auto found = held_.find(which);
  if (found == held_.end() && passes(which))
    return deliver(sent);
  held_[which].push_back(std::move(sent));
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
  for (const auto& [which, waiting] : held_)
    heap_.after(settings_.latency_us, [this, which = which] { pump(which); });
}

bool network::passes(const way& which) const {
  return mute_.count(which.from) == 0 && deaf_.count(which.to) == 0;
}

void network::deliver(const shipment& sent) {
  const auto [from, to, stream, what] = sent;
  const auto peer = peers_.find(to);
  if (!what) {
    if (peer != peers_.end())
      peer->second->on_closed(from, stream);
    return;
  }
  if (stream == control_channel && severed_.count(std::minmax(from, to)) != 0)
    return;
  if (peer == peers_.end()) // Nobody listens there: the sender's connection is refused.
    return close(to, from, stream);
  // Times and bytes of every frame are the run's fingerprint.
  ++frames_;
  digest_ = fold(digest_, static_cast<std::uint64_t>(heap_.now()));
  digest_ = fold(fold(digest_, from), to);
  if (what->value) {
    digest_ = fold(digest_, what->value->index());
    return peer->second->on_parcel(from, stream, *what->value);
  }
  digest_ = fold(digest_, std::string_view(what->bytes.data(), what->bytes.size()));
  messages::frame_reader reader;
  reader.feed(what->bytes);
  const auto received = reader.next();
  assert(received.ok() && received->has_value());
  peer->second->on_frame(from, stream, **received);
}

} // namespace consort::sim
