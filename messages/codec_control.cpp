// SPDX-License-Identifier: Apache-2.0
// The envelope and its bodies to and from control.capnp.
#include "messages/control.capnp.h"
#include "messages/wire_messages.hpp"

namespace consort::messages {

template <>
inline constexpr sender_kind last_enumerator<sender_kind> = sender_kind::gateway;
template <>
inline constexpr kept_part last_enumerator<kept_part> = kept_part::models;
template <>
inline constexpr core::view_part last_enumerator<core::view_part> = core::view_part::requests;

namespace {

using body_kind = wire::Envelope::Body::Which;

constexpr std::string_view two_answers
    = "has both a snapshot and an explanation, or what nodes said beside one";

void write(wire::Envelope::Builder to, const envelope& from, outgoing& out) {
  to.setProtocolVersion(from.version);
  to.setSenderKind(out.word<wire::SenderKind>(from.kind, "envelope.kind"));
  to.setSender(out.name(from.sender, "envelope.sender"));
  to.setIncarnation(from.life.value);
  to.setSequence(from.sequence);
}

void read(wire::Envelope::Reader from, envelope& to, incoming& in) {
  to.version = from.getProtocolVersion();
  to.kind = in.word<sender_kind>(from.getSenderKind(), "envelope.kind");
  to.sender = in.name(from.getSender(), "envelope.sender");
  to.life = incarnation(from.getIncarnation());
  to.sequence = from.getSequence();
}

/// An envelope whose body `fill(body, outgoing&)` writes.
template <class Fill>
encoded pack_envelope(frame_kind kind, const envelope& from, Fill fill) {
  return pack<wire::Envelope>(kind, [&](wire::Envelope::Builder to, outgoing& out) {
    write(to, from, out);
    fill(to.getBody(), out);
  });
}

/// The envelope and its body, which must be of kind `expected`. A hello of another protocol version
/// is read as far as the envelope, so that it can be refused in words.
template <class Body, class Take>
result<decoded<Body>> unpack_envelope(frame_kind kind, body_kind expected,
                                      std::span<const char> bytes, Take take) {
  auto opened = unpack<wire::Envelope, decoded<Body>>(
      kind, bytes, [&](wire::Envelope::Reader from, decoded<Body>& to, incoming& in) {
        to.from.version = from.getProtocolVersion();
        if (to.from.version != protocol_version)
          return;
        read(from, to.from, in);
        const auto body = from.getBody();
        if (body.which() != expected)
          return in.unknown_kind("envelope.body", static_cast<unsigned>(body.which()));
        take(body, to.body, in);
      });
  if (opened && opened->from.version != protocol_version)
    return error{recovery::refuse, "frame_version",
                 std::string(name_of(kind)) + " is of protocol version "
                     + std::to_string(opened->from.version) + ", this build speaks "
                     + std::to_string(protocol_version)};
  return opened;
}

void read(wire::Hello::Reader from, hello& to, incoming& in) {
  to.cluster = in.label(from.getCluster(), "hello.cluster");
  to.join_token = in.text(from.getJoinToken(), "hello.join_token", limits::secret_bytes_max);
  to.software = in.label(from.getSoftware(), "hello.software");
}

void read(wire::HelloAnswer::Reader from, hello_answer& to, incoming& in) {
  if (from.hasRefusal())
    read(from.getRefusal(), to.refusal.emplace(), in);
  to.scheduler_now = in.time(from.getSchedulerNow(), "hello_answer.scheduler_now");
  to.ticket_key = in.data(from.getTicketKey(), "hello_answer.ticket_key", limits::secret_bytes_max);
  to.wall_clock_s = from.getWallClockS();
}

void write(wire::ViewCursor::Builder to, const core::view_cursor& from, outgoing& out) {
  to.setPart(out.word<wire::ViewPart>(from.part, "cursor.part"));
  to.setName(out.label(from.name, "cursor.name"));
  to.setNumber(from.number);
}

void read(wire::ViewCursor::Reader from, core::view_cursor& to, incoming& in) {
  to.part = in.word<core::view_part>(from.getPart(), "cursor.part");
  to.name = in.label(from.getName(), "cursor.name");
  to.number = from.getNumber();
}

void write(wire::RequestsWish::Builder to, const core::requests_wish& from, outgoing& out) {
  to.setAfter(from.after);
  to.setLimit(from.limit);
  to.setModel(out.label(from.model.value, "requests_wish.model"));
  to.setTenant(out.label(from.tenant.value, "requests_wish.tenant"));
  to.setPriority(out.label(from.priority, "requests_wish.priority"));
  to.setState(out.label(from.state, "requests_wish.state"));
}

void read(wire::RequestsWish::Reader from, core::requests_wish& to, incoming& in) {
  to.after = from.getAfter();
  to.limit = from.getLimit();
  to.model.value = in.label(from.getModel(), "requests_wish.model");
  to.tenant.value = in.label(from.getTenant(), "requests_wish.tenant");
  to.priority = in.label(from.getPriority(), "requests_wish.priority");
  to.state = in.label(from.getState(), "requests_wish.state");
}

void write(wire::PlanWish::Builder to, const core::plan_wish& from, outgoing& out) {
  to.setModel(out.label(from.model.value, "plan_wish.model"));
  to.setSelector(out.label(from.selector, "plan_wish.selector"));
  to.setDrain(out.label(from.drain, "plan_wish.drain"));
}

void read(wire::PlanWish::Reader from, core::plan_wish& to, incoming& in) {
  to.model.value = in.label(from.getModel(), "plan_wish.model");
  to.selector = in.label(from.getSelector(), "plan_wish.selector");
  to.drain = in.label(from.getDrain(), "plan_wish.drain");
}

void write(wire::ReloadReport::Builder to, const reload_report& from, outgoing& out) {
  to.setNode(out.name(from.node.value, "reload_report.node"));
  to.setAnswered(from.answered);
  to.setTookUs(out.duration(from.took_us, "reload_report.took_us"));
  write_words(out, from.plugins_came, "reload_report.plugins_came",
              [&](unsigned size) { return to.initPluginsCame(size); });
  write_words(out, from.plugins_gone, "reload_report.plugins_gone",
              [&](unsigned size) { return to.initPluginsGone(size); });
  write_words(out, from.devices_came, "reload_report.devices_came",
              [&](unsigned size) { return to.initDevicesCame(size); });
  write_words(out, from.devices_gone, "reload_report.devices_gone",
              [&](unsigned size) { return to.initDevicesGone(size); });
  to.setCompilers(from.compilers);
  const auto& complaints = from.complaints;
  auto list = to.initComplaints(
      out.count(complaints.size(), limits::words_max, "reload_report.complaints"));
  for (unsigned at = 0; at < list.size(); ++at)
    list.set(at, out.sentence(complaints[at]));
}

void read(wire::ReloadReport::Reader from, reload_report& to, incoming& in) {
  to.node.value = in.name(from.getNode(), "reload_report.node");
  to.answered = from.getAnswered();
  to.took_us = in.duration(from.getTookUs(), "reload_report.took_us");
  read_words(from.getPluginsCame(), to.plugins_came, "reload_report.plugins_came", in);
  read_words(from.getPluginsGone(), to.plugins_gone, "reload_report.plugins_gone", in);
  read_words(from.getDevicesCame(), to.devices_came, "reload_report.devices_came", in);
  read_words(from.getDevicesGone(), to.devices_gone, "reload_report.devices_gone", in);
  to.compilers = from.getCompilers();
  read_list(in, from.getComplaints(), to.complaints, limits::words_max, "reload_report.complaints",
            [&](capnp::Text::Reader text, std::string& value) {
              value = in.text(text, "reload_report.complaints");
            });
}

void write(wire::NodeWish::Builder to, const node_wish& from, outgoing& out) {
  to.setNode(out.name_or_none(from.node.value, "node_wish.node"));
  to.setGateway(from.gateway.value);
}

void read(wire::NodeWish::Reader from, node_wish& to, incoming& in) {
  to.node.value = in.name_or_none(from.getNode(), "node_wish.node");
  to.gateway.value = from.getGateway();
}

void write(wire::PluginRow::Builder to, const plugin_row& from, outgoing& out) {
  to.setName(out.label(from.name, "plugin_row.name"));
  to.setVersion(out.sentence(from.version));
  to.setVendor(out.sentence(from.vendor));
  to.setPriority(from.priority);
  to.setOrigin(out.sentence(from.origin));
  to.setAvailable(from.available);
  to.setFailed(from.failed);
  to.setReason(out.sentence(from.reason));
  write_words(out, from.devices, "plugin_row.devices",
              [&](unsigned size) { return to.initDevices(size); });
}

void read(wire::PluginRow::Reader from, plugin_row& to, incoming& in) {
  to.name = in.label(from.getName(), "plugin_row.name");
  to.version = in.text(from.getVersion(), "plugin_row.version");
  to.vendor = in.text(from.getVendor(), "plugin_row.vendor");
  to.priority = from.getPriority();
  to.origin = in.text(from.getOrigin(), "plugin_row.origin");
  to.available = from.getAvailable();
  to.failed = from.getFailed();
  to.reason = in.text(from.getReason(), "plugin_row.reason");
  read_words(from.getDevices(), to.devices, "plugin_row.devices", in);
}

void write(wire::ClaimRow::Builder to, const claim_row& from, outgoing& out) {
  to.setUuid(out.sentence(from.uuid));
  to.setDevice(out.label(from.device, "claim_row.device"));
  to.setWinner(out.label(from.winner, "claim_row.winner"));
  write_words(out, from.losers, "claim_row.losers",
              [&](unsigned size) { return to.initLosers(size); });
  to.setReason(out.sentence(from.reason));
}

void read(wire::ClaimRow::Reader from, claim_row& to, incoming& in) {
  to.uuid = in.text(from.getUuid(), "claim_row.uuid");
  to.device = in.label(from.getDevice(), "claim_row.device");
  to.winner = in.label(from.getWinner(), "claim_row.winner");
  read_words(from.getLosers(), to.losers, "claim_row.losers", in);
  to.reason = in.text(from.getReason(), "claim_row.reason");
}

void write(wire::PluginsReport::Builder to, const plugins_report& from, outgoing& out) {
  to.setNode(out.name(from.node.value, "plugins_report.node"));
  to.setAnswered(from.answered);
  write_list(
      out, from.plugins, limits::plugins_max, "plugins_report.plugins",
      [&](unsigned size) { return to.initPlugins(size); },
      [&](auto row, const plugin_row& one) { write(row, one, out); });
  write_list(
      out, from.claims, limits::claims_max, "plugins_report.claims",
      [&](unsigned size) { return to.initClaims(size); },
      [&](auto row, const claim_row& one) { write(row, one, out); });
  to.setLeftOut(from.left_out);
}

void read(wire::PluginsReport::Reader from, plugins_report& to, incoming& in) {
  to.node.value = in.name(from.getNode(), "plugins_report.node");
  to.answered = from.getAnswered();
  read_list(in, from.getPlugins(), to.plugins, limits::plugins_max, "plugins_report.plugins",
            [&](wire::PluginRow::Reader one, plugin_row& value) { read(one, value, in); });
  read_list(in, from.getClaims(), to.claims, limits::claims_max, "plugins_report.claims",
            [&](wire::ClaimRow::Reader one, claim_row& value) { read(one, value, in); });
  to.left_out = from.getLeftOut();
}

void read(wire::Query::Reader from, query& to, incoming& in) {
  to.number = from.getNumber();
  to.explain = in.label(from.getExplain(), "query.explain");
  if (from.hasFrom())
    read(from.getFrom(), to.from, in);
  if (from.hasDryRun())
    read(from.getDryRun(), to.dry_run.emplace(), in);
  if (from.hasPlan())
    read(from.getPlan(), to.plan.emplace(), in);
  if (from.hasReload())
    read(from.getReload(), to.reload.emplace(), in);
  if (from.hasPlugins())
    read(from.getPlugins(), to.plugins.emplace(), in);
  to.kept = in.word<kept_part>(from.getKept(), "query.kept");
  if (from.hasRequests())
    read(from.getRequests(), to.requests.emplace(), in);
}

void read(wire::QueryAnswer::Reader from, query_answer& to, incoming& in) {
  to.number = from.getNumber();
  if (int{from.hasSnapshot()} + int{from.hasExplanation()} + int{from.hasReloads()}
          + int{from.hasPlugins()}
      > 1)
    return in.fail("query_answer", two_answers);
  if (from.hasSnapshot())
    read(from.getSnapshot(), to.snapshot.emplace(), in);
  if (from.hasExplanation())
    read(from.getExplanation(), to.explanation.emplace(), in);
  if (from.hasNext())
    read(from.getNext(), to.next.emplace(), in);
  if (from.hasRefusal())
    read(from.getRefusal(), to.refusal.emplace(), in);
  to.gateway.value = from.getGateway();
  read_list(in, from.getReloads(), to.reloads, limits::nodes_max, "query_answer.reloads",
            [&](wire::ReloadReport::Reader one, reload_report& value) { read(one, value, in); });
  read_list(in, from.getPlugins(), to.plugins, limits::nodes_max, "query_answer.plugins",
            [&](wire::PluginsReport::Reader one, plugins_report& value) { read(one, value, in); });
  to.kept = from.getKept();
}

} // namespace

encoded encode(const envelope& from, const hello& body) {
  return pack_envelope(frame_kind::hello, from, [&](auto to, outgoing& out) {
    auto hello = to.initHello();
    hello.setCluster(out.label(body.cluster, "hello.cluster"));
    hello.setJoinToken(out.text(body.join_token, "hello.join_token", limits::secret_bytes_max));
    hello.setSoftware(out.label(body.software, "hello.software"));
  });
}

encoded encode(const envelope& from, const hello_answer& body) {
  return pack_envelope(frame_kind::hello_answer, from, [&](auto to, outgoing& out) {
    auto answer = to.initHelloAnswer();
    if (body.refusal)
      write(answer.initRefusal(), *body.refusal, out);
    answer.setSchedulerNow(out.time(body.scheduler_now, "hello_answer.scheduler_now"));
    answer.setTicketKey(
        out.data(body.ticket_key, "hello_answer.ticket_key", limits::secret_bytes_max));
    answer.setWallClockS(body.wall_clock_s);
  });
}

encoded encode(const envelope& from, const heartbeat& body) {
  return pack_envelope(frame_kind::heartbeat, from, [&](auto to, outgoing& out) {
    auto beat = to.initHeartbeat();
    beat.setSentAt(out.time(body.sent_at, "heartbeat.sent_at"));
    beat.setAnswer(body.answer);
  });
}

encoded encode(const envelope& from, const core::event& body) {
  return pack_envelope(frame_kind::event, from,
                       [&](auto to, outgoing& out) { write(to.initEvent(), body, out); });
}

encoded encode(const envelope& from, const core::command& body) {
  return pack_envelope(frame_kind::command, from,
                       [&](auto to, outgoing& out) { write(to.initCommand(), body, out); });
}

encoded encode(const envelope& from, const query& body) {
  return pack_envelope(frame_kind::query, from, [&](auto to, outgoing& out) {
    auto query = to.initQuery();
    query.setNumber(body.number);
    query.setExplain(out.label(body.explain, "query.explain"));
    if (body.from != core::view_cursor{})
      write(query.initFrom(), body.from, out);
    if (body.dry_run)
      write(query.initDryRun(), *body.dry_run, out);
    if (body.plan)
      write(query.initPlan(), *body.plan, out);
    if (body.reload)
      write(query.initReload(), *body.reload, out);
    if (body.plugins)
      write(query.initPlugins(), *body.plugins, out);
    query.setKept(out.word<wire::KeptPart>(body.kept, "query.kept"));
    if (body.requests)
      write(query.initRequests(), *body.requests, out);
  });
}

encoded encode(const envelope& from, const query_answer& body) {
  return pack_envelope(frame_kind::query_answer, from, [&](auto to, outgoing& out) {
    auto answer = to.initQueryAnswer();
    answer.setNumber(body.number);
    if (int{body.snapshot.has_value()} + int{body.explanation.has_value()}
            + int{!body.reloads.empty()} + int{!body.plugins.empty()}
        > 1)
      return out.fail("query_answer", two_answers);
    if (body.snapshot)
      write(answer.initSnapshot(), *body.snapshot, out);
    if (body.explanation)
      write(answer.initExplanation(), *body.explanation, out);
    if (body.next)
      write(answer.initNext(), *body.next, out);
    if (body.refusal)
      write(answer.initRefusal(), *body.refusal, out);
    answer.setGateway(body.gateway.value);
    if (!body.reloads.empty())
      write_list(
          out, body.reloads, limits::nodes_max, "query_answer.reloads",
          [&](unsigned size) { return answer.initReloads(size); },
          [&](auto row, const reload_report& one) { write(row, one, out); });
    if (!body.plugins.empty())
      write_list(
          out, body.plugins, limits::nodes_max, "query_answer.plugins",
          [&](unsigned size) { return answer.initPlugins(size); },
          [&](auto row, const plugins_report& one) { write(row, one, out); });
    answer.setKept(body.kept);
  });
}

result<decoded<hello>> decode_hello(std::span<const char> bytes) {
  return unpack_envelope<hello>(
      frame_kind::hello, body_kind::HELLO, bytes,
      [](auto body, hello& to, incoming& in) { read(body.getHello(), to, in); });
}

result<decoded<hello_answer>> decode_hello_answer(std::span<const char> bytes) {
  return unpack_envelope<hello_answer>(
      frame_kind::hello_answer, body_kind::HELLO_ANSWER, bytes,
      [](auto body, hello_answer& to, incoming& in) { read(body.getHelloAnswer(), to, in); });
}

result<decoded<heartbeat>> decode_heartbeat(std::span<const char> bytes) {
  return unpack_envelope<heartbeat>(frame_kind::heartbeat, body_kind::HEARTBEAT, bytes,
                                    [](auto body, heartbeat& to, incoming& in) {
                                      to.sent_at = in.time(body.getHeartbeat().getSentAt(),
                                                           "heartbeat.sent_at");
                                      to.answer = body.getHeartbeat().getAnswer();
                                    });
}

result<decoded<core::event>> decode_event(std::span<const char> bytes) {
  return unpack_envelope<core::event>(
      frame_kind::event, body_kind::EVENT, bytes,
      [](auto body, core::event& to, incoming& in) { read(body.getEvent(), to, in); });
}

result<decoded<core::command>> decode_command(std::span<const char> bytes) {
  return unpack_envelope<core::command>(
      frame_kind::command, body_kind::COMMAND, bytes,
      [](auto body, core::command& to, incoming& in) { read(body.getCommand(), to, in); });
}

result<decoded<query>> decode_query(std::span<const char> bytes) {
  return unpack_envelope<query>(
      frame_kind::query, body_kind::QUERY, bytes,
      [](auto body, query& to, incoming& in) { read(body.getQuery(), to, in); });
}

result<decoded<query_answer>> decode_query_answer(std::span<const char> bytes) {
  return unpack_envelope<query_answer>(
      frame_kind::query_answer, body_kind::QUERY_ANSWER, bytes,
      [](auto body, query_answer& to, incoming& in) { read(body.getQueryAnswer(), to, in); });
}

} // namespace consort::messages
