# SPDX-License-Identifier: Apache-2.0
@0xf8e0b49f7dd7d651;
# The link between the scheduler and a node or a further gateway. Every message is one Envelope; the
# kind of its body is repeated outside, in the frame header or CAF's frame, so that a receiver can
# refuse it before parsing. docs/PROTOCOL.md tells the phases.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";
using Events = import "event.capnp";
using Commands = import "command.capnp";
using Views = import "view.capnp";

enum SenderKind { scheduler @0; node @1; gateway @2; }

struct Envelope {
  # A receiver refuses another protocolVersion, and drops what comes from an incarnation that it did
  # not greet.
  protocolVersion @0 :UInt16;
  senderKind @1 :SenderKind;
  sender @2 :Text;         # Node id, gateway name, or the cluster's name for the scheduler.
  incarnation @3 :UInt64;  # Of the sending process.
  sequence @4 :UInt64;     # Counts the sender's messages, from 1; for logs and tests.
  body :union {
    hello @5 :Hello;
    helloAnswer @6 :HelloAnswer;
    event @7 :Events.Event;
    command @8 :Commands.Command;
    query @9 :Query;
    queryAnswer @10 :QueryAnswer;
    heartbeat @11 :Heartbeat;
  }
}

struct Hello {
  # Node or gateway, first message on a link, and again until answered. Anything sent before the
  # answer is dropped by the scheduler.
  cluster @0 :Text;
  joinToken @1 :Text;  # Secret; never logged.
  software @2 :Text;   # For people.
}

struct HelloAnswer {
  # Scheduler. With a refusal the link is of no use: wrong cluster, token or protocol version.
  refusal @0 :Common.Error;  # Absent when welcome.
  schedulerNow @1 :Int64;    # The scheduler's clock.
  ticketKey @2 :Data;        # Opens tickets' seals; to nodes only. Secret; never logged.
  wallClockS @3 :Int64;      # Of a refusal: Unix time at the scheduler's host, seconds; for people.
}

struct Heartbeat {
  # Gateway or scheduler, on an idle link; the receiver sends it back with `answer`. Nodes need
  # none: leaseRenewed is theirs.
  sentAt @0 :Int64;  # On the clock of whoever sent it first.
  answer @1 :Bool;
}

struct Query {
  # Gateway: show me. Answered by a QueryAnswer of the same number. The scheduler passes a reload and
  # a list of plugins on to the nodes concerned, which answer it alike.
  number @0 :UInt64;
  explain @1 :Text;  # Request id as the client saw it; empty asks for the snapshot.
  from @2 :Views.ViewCursor;  # Of the snapshot: the page that begins here; absent = the first.
  dryRun @3 :Common.RequestMeta;  # What would be decided about it; it is not run. Goes before the rest.
  plan @4 :PlanWish;  # Present: what would be done. Answered by an explanation.
  reload @5 :NodeWish;  # Present: nodes look at their plugin folders again. Goes before the rest.
  plugins @6 :NodeWish; # Present: nodes list their plugins as they saw them last, and run nothing
                        # for it. Goes before the rest but a reload.
  kept @7 :KeptPart;    # Not none: whether what operators said of it survives a restart. Goes before
                        # the rest but reloads and lists.
  requests @8 :Views.RequestsWish;  # Present: a snapshot of these alone, in one page, whose `next`
                                    # says that there are more. Goes before explain.
}

enum KeptPart {
  none @0;
  holds @1;   # What is drained and cordoned.
  models @2;  # Which were added and removed.
}

struct NodeWish @0x9f44032389b74b0e {
  node @0 :Text;      # Empty: every node with a link.
  gateway @1 :UInt64; # That asked: filled in by the scheduler, sent back by the node.
}

struct ReloadReport {
  # Of one node. First one with `answered` unset for every node that was asked, all in one answer;
  # then one of each as it comes.
  node @0 :Text;
  answered @1 :Bool;
  tookUs @2 :Int64;
  pluginsCame @3 :List(Text);   # New, or other than before.
  pluginsGone @4 :List(Text);
  devicesCame @5 :List(Text);   # Ids; new, or of another plugin than before.
  devicesGone @6 :List(Text);
  compilers @7 :Bool;           # Others than before.
  complaints @8 :List(Text);    # What is broken and was left out, for people.
}

struct PluginsReport {
  # Of one node. First one with `answered` unset for every node that was asked, all in one answer;
  # then one of each as it comes.
  node @0 :Text;
  answered @1 :Bool;
  plugins @2 :List(PluginRow);  # In order of name.
  claims @3 :List(ClaimRow);    # Of devices that more than one plugin found.
  leftOut @4 :UInt32;           # Plugins, their devices and claims that found no room.
}

struct PluginRow {
  # All but the names and numbers is for people: cut and repaired where it must be.
  name @0 :Text;
  version @1 :Text;
  vendor @2 :Text;
  priority @3 :Int32;
  origin @4 :Text;         # Its folder, or `built-in`.
  available @5 :Bool;      # On this host.
  reason @6 :Text;         # Why it is not, or why its probe failed; empty = fine.
  devices @7 :List(Text);  # Ids: that it found, or of other plugins that it runs models on.
  failed @8 :Bool;         # Its probe failed: it is tried again, and `reason` says why.
}

struct ClaimRow {
  uuid @0 :Text;
  device @1 :Text;
  winner @2 :Text;         # Plugins.
  losers @3 :List(Text);
  reason @4 :Text;
}

struct PlanWish {
  model @0 :Text;
  selector @1 :Text;  # Empty = `auto`.
  drain @2 :Text;     # Node or device; then the others are not looked at.
}

struct QueryAnswer {
  # Scheduler, or a node about its plugins. At most one of snapshot, explanation, reloads and
  # plugins; none means that the request is unknown. A snapshot has as many rows as fit the frame.
  number @0 :UInt64;
  snapshot @1 :Views.Snapshot;
  explanation @2 :Views.Explanation;
  next @3 :Views.ViewCursor;  # Where the snapshot goes on; absent after its last page.
  refusal @4 :Common.Error;   # Of a dry run that would be turned away at the door, where no node
                              # can be asked, or of what is not kept over a restart.
  gateway @5 :UInt64;         # For which it is; set by nodes alone.
  reloads @6 :List(ReloadReport);
  plugins @7 :List(PluginsReport);
  kept @8 :Bool;  # What was asked for is kept. An older scheduler answers with a snapshot instead.
}
