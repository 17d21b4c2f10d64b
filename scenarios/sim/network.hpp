// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A simulated network of connections between processes. Everything crosses it as whole encoded
/// frames, or, where a scenario asks for speed, as the values themselves; the rest is the same. A
/// connection keeps its order, as TCP does, and connections overtake each other; a frame takes the
/// latency plus a uniform share of the jitter. Frames to or from a cut address are held and arrive
/// after it heals, in order, as TCP retransmits; a lost frame delays those behind it. A dead
/// address answers with a reset, and what is under way to a process that dies never reaches its
/// successor, which has connections of its own. Owned by one run; single-threaded.

#include "messages/frame.hpp"
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/parcel.hpp"
#include "scenarios/sim/random.hpp"
#include "scenarios/sim/scenario.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

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
  /// The same, unencoded: only where network::plain().
  virtual void on_parcel(address /*from*/, channel /*stream*/, const parcel& /*received*/) {}
  /// The stream ended: the other side closed it, or its process died (then with every stream).
  virtual void on_closed(address from, channel stream) = 0;
};

class network {
public:
  network(event_heap& heap, const scenario_network& settings, std::uint64_t seed);

  /// Senders hand over values instead of frames.
  [[nodiscard]] bool plain() const { return settings_.plain; }
  /// Requires: plain().
  template <class Value>
  void hand_over(address from, address to, channel stream, Value&& what) {
    auto& kept = take_contents();
    kept.value.emplace(std::forward<Value>(what)); // Where it stays: it is large.
    put({from, to, stream, &kept});
  }

  /// Requires: `peer` outlives the network or is detached first.
  void attach(address at, network_peer& peer);
  /// The process died: all that listened to it hear a reset of its control link.
  void detach(address at);
  /// Sends one frame. What cannot be encoded is a bug of the sender and stops the run.
  void send(address from, address to, channel stream, messages::frame_kind kind,
            std::span<const char> payload);
  void close(address from, address to, channel stream);

  /// Holds what is sent to or from `at`, or both.
  void cut(address at, fault_direction direction = fault_direction::both);
  void heal(address at);
  [[nodiscard]] bool is_cut(address at) const { return deaf_.count(at) + mute_.count(at) != 0; }
  /// The control link between the two breaks, and what is under way on it is lost; it cannot be
  /// made anew before join(). Streams between them are not touched.
  void sever(address one, address other) { severed_.insert(std::minmax(one, other)); }
  void join(address one, address other) { severed_.erase(std::minmax(one, other)); }
  [[nodiscard]] bool is_severed(address one, address other) const {
    return severed_.count(std::minmax(one, other)) != 0;
  }
  /// When `at` has heard of every end of its control link with `other` so far: nobody dials anew
  /// before, and what an earlier link brought would end the later one. A time that may have passed.
  [[nodiscard]] time_us end_heard(address other, address at) const {
    const auto found = ends_.find({other, at});
    return found == ends_.end() ? 0 : found->second;
  }

  /// What every link of `at` suffers from now on: each is 0 when it is well.
  struct troubles {
    double loss = 0;            ///< Share of frames that are sent again.
    double duplicate = 0;       ///< Share of control frames that arrive twice.
    duration_us reorder_us = 0; ///< Further delay of a connection's frames, at most.
  };
  [[nodiscard]] troubles& troubles_of(address at) { return troubles_[at]; }

  [[nodiscard]] std::uint64_t frames() const { return frames_; }
  /// Over the time, ends and bytes of every delivered frame.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

private:
  /// One frame under way: its bytes or its value. Shared by its copies where it arrives twice.
  struct contents {
    std::vector<char> bytes;
    std::optional<parcel> value;
    std::uint32_t copies = 1; ///< Under way.
  };
  struct shipment {
    address from = 0;
    address to = 0;
    channel stream = control_channel;
    contents* what = nullptr; ///< In `store_`; null = the end of its stream.
    std::uint32_t deaths = 0; ///< At `to`, when it was sent.
  };
  /// From, to, and which of the connections between the two: the control link is 0, streams share
  /// a few lanes.
  struct way {
    address from = 0;
    address to = 0;
    std::uint32_t lane = 0;
    friend auto operator<=>(const way&, const way&) = default;
  };
  [[nodiscard]] static way way_of(const shipment& sent);

  [[nodiscard]] contents& take_contents();
  void let_go(contents& what);
  [[nodiscard]] time_us& last_due(const way& which);
  [[nodiscard]] network_peer* peer_at(address at) const;
  [[nodiscard]] std::uint32_t deaths_at(address at) const {
    return at < deaths_.size() ? deaths_[at] : 0;
  }
  /// Returns: when it is due.
  time_us put(shipment sent);
  /// What trouble adds to a frame's way, in microseconds. Returns: whether it arrives twice.
  bool suffer(address at, channel stream, duration_us& delay);
  /// It is due: delivers it, or holds it behind what is held.
  void arrive(const shipment& sent);
  /// Delivers what is held and may pass.
  void pump(const way& which);
  [[nodiscard]] bool passes(const way& which) const;
  void deliver(const shipment& sent);
  void hand_to(network_peer& peer, const shipment& sent);

  /// Beside the control link, streams between the same two share these connections, so that one of
  /// them can be late alone.
  static constexpr std::uint64_t stream_lanes = 7;
  static constexpr std::uint64_t lanes = stream_lanes + 1;
  event_heap& heap_;
  scenario_network settings_;
  random_source chance_;
  random_source trouble_chance_;
  std::vector<network_peer*> peers_;  ///< By address; null = nobody listens there.
  std::vector<std::uint32_t> deaths_; ///< By address: processes that died there.
  std::deque<contents> store_;
  std::vector<contents*> unused_; ///< Of `store_`.
  /// By way: when the last frame of it is due. Those of scheduler and gateway, to which all but a
  /// few frames go or from which they come, have places.
  std::vector<time_us> hub_dues_;
  std::unordered_map<std::uint64_t, time_us> other_dues_; ///< Looked up, never walked.
  std::map<way, std::deque<shipment>> held_;              ///< Due, and cut off; none is empty.
  std::set<address> deaf_;                                ///< Nothing reaches them.
  std::set<address> mute_;                                ///< Nothing of theirs arrives.
  std::map<address, troubles> troubles_;
  std::set<std::pair<address, address>> severed_;       ///< Lower address first.
  std::map<std::pair<address, address>, time_us> ends_; ///< Of control links: from, to.
  std::uint64_t frames_ = 0;
  std::uint64_t digest_ = fold_start;
};

} // namespace consort::sim
