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
  put(from, to, stream,
      [this, from, to, stream, sent = std::move(*bytes)] { deliver(from, to, stream, sent); });
}

void network::close(address from, address to, channel stream) {
  put(from, to, stream, [this, from, to, stream] { deliver_close(from, to, stream); });
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

void network::put(address from, address to, channel stream, std::function<void()> deliver) {
  const auto jitter
      = static_cast<duration_us>(static_cast<double>(settings_.jitter_us) * chance_.unit());
  auto delay = settings_.latency_us + jitter;
  const bool twice = !troubles_.empty()
                     && (int{suffer(from, stream, delay)} + int{suffer(to, stream, delay)}) > 0;
  const way which{
      from, to,
      stream == control_channel ? 0U : 1U + static_cast<std::uint32_t>(stream % stream_lanes)};
  auto& line = under_way_[which];
  // Never before the frame in front of it: a connection keeps its order.
  line.last_due = std::max(line.last_due, heap_.now() + delay);
  if (twice)
    line.entries.push_back({line.last_due, deliver});
  line.entries.push_back({line.last_due, std::move(deliver)});
  heap_.at(line.last_due, [this, which] { pump(which); });
}

void network::pump(const way& which) {
  auto& entries = under_way_[which].entries;
  while (!entries.empty() && entries.front().due <= heap_.now() && passes(which)) {
    // Out of the queue first: delivering may send on this very link.
    auto next = std::move(entries.front().deliver);
    entries.pop_front();
    next();
  }
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
  for (const auto& [which, line] : under_way_)
    if (!line.entries.empty())
      heap_.after(settings_.latency_us, [this, waiting = which] { pump(waiting); });
}

bool network::passes(const way& which) const {
  return mute_.count(which.from) == 0 && deaf_.count(which.to) == 0;
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
