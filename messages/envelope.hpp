// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who says something, and the messages by which a link begins and views are asked for. Plain
/// values; the wire form of each is in control.capnp.

#include "scheduler/view.hpp"

namespace consort::messages {

/// Version of the protocol that this build speaks. A peer of another one is refused at hello.
inline constexpr std::uint16_t protocol_version = 1;

enum class sender_kind : std::uint8_t { scheduler, node, gateway };

/// The outside of every control message. Receivers drop what comes from an incarnation that they
/// did not greet; `sequence` counts a sender's messages from 1 and is for logs and tests.
struct envelope {
  std::uint16_t version = protocol_version;
  sender_kind kind = sender_kind::node;
  std::string sender; ///< Node id, gateway name, or the cluster's name for the scheduler.
  incarnation life;   ///< Of the sending process.
  std::uint64_t sequence = 0;
  friend bool operator==(const envelope&, const envelope&) = default;
};

/// A decoded message and who sent it.
template <class Body>
struct decoded {
  envelope from;
  Body body;
};

/// First message of a node or gateway on a link. Its protocol version is the envelope's.
struct hello {
  std::string cluster;
  std::string join_token; ///< Empty inside one process.
  std::string software;   ///< `consort 0.1.0`, for people.
  friend bool operator==(const hello&, const hello&) = default;
};

/// The scheduler's answer. With `refusal` the link is of no use: say hello again later.
struct hello_answer {
  std::optional<error> refusal;
  time_us scheduler_now = 0;     ///< The scheduler's clock, so that tickets' expiry can be judged.
  std::string ticket_key;        ///< Opens tickets' seals; nodes only, bytes. Empty for gateways.
  std::int64_t wall_clock_s = 0; ///< Of a refusal: the host's Unix time, for people; 0 = not told.
  friend bool operator==(const hello_answer&, const hello_answer&) = default;
};

/// A gateway or node shows that its link works; the receiver sends it back with `answer` set.
/// Nodes need none: lease_renewed is theirs.
struct heartbeat {
  time_us sent_at = 0; ///< On the clock of whoever sent it first.
  bool answer = false;
  friend bool operator==(const heartbeat&, const heartbeat&) = default;
};

/// Whom an operator asks: to look at the plugin folders again, or to list the plugins.
struct node_wish {
  node_id node;       ///< Empty = every node with a link.
  gateway_id gateway; ///< That asked: the scheduler fills it in, the node sends it back.
  friend bool operator==(const node_wish&, const node_wish&) = default;
};

/// What that came to on one node.
struct reload_report {
  node_id node;
  bool answered = false; ///< False: it was asked, that is all that is known.
  duration_us took_us = 0;
  std::vector<std::string> plugins_came; ///< New, or other than before.
  std::vector<std::string> plugins_gone;
  std::vector<std::string> devices_came; ///< Ids; new, or of another plugin than before.
  std::vector<std::string> devices_gone;
  bool compilers = false;              ///< Others than before.
  std::vector<std::string> complaints; ///< What is broken and was left out.
  friend bool operator==(const reload_report&, const reload_report&) = default;
};

/// A plugin as its node saw it last.
struct plugin_row {
  std::string name;
  std::string version;
  std::string vendor;
  std::int32_t priority = 0;
  std::string origin; ///< Its folder, or `built-in`.
  bool available = false;
  std::string reason;               ///< Why it is not available, or why its probe failed.
  std::vector<std::string> devices; ///< Ids: that it found, or that it runs models on.
  bool failed = false;              ///< Its probe failed: it is tried again.
  friend bool operator==(const plugin_row&, const plugin_row&) = default;
};

/// Who got a device that several plugins found.
struct claim_row {
  std::string uuid;
  std::string device;
  std::string winner;
  std::vector<std::string> losers;
  std::string reason;
  friend bool operator==(const claim_row&, const claim_row&) = default;
};

/// The plugins of one node.
struct plugins_report {
  node_id node;
  bool answered = false; ///< False: it was asked, that is all that is known.
  std::vector<plugin_row> plugins;
  std::vector<claim_row> claims;
  std::uint32_t left_out = 0; ///< Plugins, devices of one and claims that found no room.
  friend bool operator==(const plugins_report&, const plugins_report&) = default;
};

/// What a scheduler keeps for its next life.
enum class kept_part : std::uint8_t {
  none,
  holds,  ///< What is drained and cordoned.
  models, ///< Which were added and removed.
};

/// A gateway asks for the snapshot, or for the explanation of one request. A reload and a list of
/// plugins go on to nodes.
struct query {
  std::uint64_t number = 0;    ///< Echoed by the answer; unique per sender.
  std::string explain;         ///< Request id as the client saw it; empty asks for the snapshot.
  core::view_cursor from = {}; ///< Of the snapshot: the page that begins here.
  std::optional<request_meta> dry_run = {}; ///< What would be decided about it; goes before both.
  std::optional<core::plan_wish> plan = {}; ///< Set: what would be done, as an explanation.
  std::optional<node_wish> reload = {};     ///< Set: goes before all of them.
  std::optional<node_wish> plugins = {};    ///< Set: goes before all but that.
  kept_part kept = kept_part::none;         ///< Else: goes before all but those two.
  /// Set: a snapshot of these requests alone, in one page; goes before `explain`.
  std::optional<core::requests_wish> requests = {};
  friend bool operator==(const query&, const query&) = default;
};

/// At most one of snapshot, explanation, reloads and plugins is set; none means that the request is
/// unknown. Rows that do not fit one answer are left to the next: ask from `next` and
/// core::append() the pages.
struct query_answer {
  std::uint64_t number = 0;
  std::optional<core::snapshot> snapshot;
  std::optional<core::view_cursor> next = {}; ///< Where the snapshot goes on.
  std::optional<core::explanation> explanation;
  std::optional<error> refusal = {}; ///< Of a dry run, a plan, where no node can be asked, or of
                                     ///< what is not kept.
  gateway_id gateway = {};           ///< For which it is; set by nodes alone.
  /// First all nodes that were asked, in one answer; then one of each that reloaded.
  std::vector<reload_report> reloads = {};
  std::vector<plugins_report> plugins = {}; ///< The same, of lists.
  bool kept = false; ///< What was asked for is; neither this nor a refusal: it is not known.
  friend bool operator==(const query_answer&, const query_answer&) = default;
};

} // namespace consort::messages
