// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A simulated network of connections between processes. Everything crosses it as whole encoded
/// frames. A link keeps its order, as TCP does; a frame takes the latency plus a uniform share of
/// the jitter. Frames to or from a cut address are held and arrive after it heals, in order, as TCP
/// retransmits; a dead address answers with a reset. Owned by one run; single-threaded.

#include "messages/frame.hpp"
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/random.hpp"
#include "scenarios/sim/scenario.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <span>

namespace consort::sim {

/// A process on the network; a restarted node keeps its address.
using address = std::uint32_t;
inline constexpr address scheduler_address = 0;
inline constexpr address gateway_address = 1;
inline constexpr address first_node_address = 2;

/// One connection between two addresses: 0 is the control link, others are attempts' streams.
using channel = std::uint64_t;
inline constexpr channel control_channel = 0;

/// What a process hears from the network.
class network_peer {
public:
  virtual ~network_peer() = default;
  virtual void on_frame(address from, channel stream, const messages::frame& received) = 0;
  /// The stream ended: the other side closed it, or its process died (then with every stream).
  virtual void on_closed(address from, channel stream) = 0;
};

class network {
public:
  network(event_heap& heap, const scenario_network& settings, random_source chance);

  /// Requires: `peer` outlives the network or is detached first.
  void attach(address at, network_peer& peer);
  /// The process died: all that listened to it hear a reset of its control link.
  void detach(address at);
  /// Sends one frame. What cannot be encoded is a bug of the sender and stops the run.
  void send(address from, address to, channel stream, messages::frame_kind kind,
            std::span<const char> payload);
  void close(address from, address to, channel stream);

  void cut(address at) { cut_.insert(at); }
  void heal(address at);
  [[nodiscard]] bool is_cut(address at) const { return cut_.count(at) != 0; }
  /// The control link between the two breaks, and what is under way on it is lost; it cannot be
  /// made anew before join(). Streams between them are not touched.
  void sever(address one, address other) { severed_.insert(std::minmax(one, other)); }
  void join(address one, address other) { severed_.erase(std::minmax(one, other)); }

  [[nodiscard]] std::uint64_t frames() const { return frames_; }
  /// Over the time, ends and bytes of every delivered frame.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

private:
  /// What is under way from one address to another, in order.
  struct link {
    struct entry {
      time_us due = 0;
      event_heap::action deliver;
    };
    std::deque<entry> entries;
    time_us last_due = 0;
  };
  using ends = std::pair<address, address>;

  void put(address from, address to, event_heap::action deliver);
  /// Delivers what is due and may pass.
  void pump(const ends& which);
  [[nodiscard]] bool passes(const ends& which) const;
  void deliver(address from, address to, channel stream, const std::vector<char>& bytes);
  void deliver_close(address from, address to, channel stream);

  event_heap& heap_;
  scenario_network settings_;
  random_source chance_;
  std::map<address, network_peer*> peers_;
  std::map<ends, link> under_way_;
  std::set<address> cut_;
  std::set<std::pair<address, address>> severed_; ///< Lower address first.
  std::uint64_t frames_ = 0;
  std::uint64_t digest_ = fold_start;
};

} // namespace consort::sim
