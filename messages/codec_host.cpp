// SPDX-License-Identifier: Apache-2.0
// What an agent and its host processes say, to and from host.capnp.
#include "messages/host.capnp.h"
#include "messages/wire_messages.hpp"

namespace consort::messages {

namespace {

/// Writes what the agent says into the union.
struct host_command_writer {
  wire::HostCommand::Builder to;
  outgoing& out;

  void operator()(const host_open& from) {
    auto open = to.initOpen();
    open.setLibrary(out.text(from.library, "host_open.library"));
    open.setConfigJson(
        out.data(from.config_json, "host_open.config_json", limits::host_json_bytes_max));
  }
  void operator()(const host_submit& from) {
    auto submit = to.initSubmit();
    submit.setRequest(from.request);
    write(submit.initBody(), from.body, out);
  }
  void operator()(const host_cancel& from) { to.setCancel(from.request); }
  void operator()(const host_read_stats& from) { to.setReadStats(from.number); }
  void operator()(const host_close&) { to.setClose(); }
};

/// Writes what the host process says into the union.
struct host_report_writer {
  wire::HostReport::Builder to;
  outgoing& out;

  void operator()(const host_opened& from) {
    auto opened = to.initOpened();
    opened.setRuntime(out.sentence(from.runtime));
    opened.setVersion(out.sentence(from.version));
  }
  void operator()(const host_open_failed& from) { write(to.initOpenFailed(), from.failure, out); }
  void operator()(const host_event& from) {
    auto event = to.initEvent();
    event.setRequest(from.request);
    write(event.initHappened(), from.happened, out);
  }
  void operator()(const host_stats& from) {
    auto stats = to.initStats();
    stats.setNumber(from.number);
    stats.setJson(out.data(from.json, "host_stats.json", limits::host_json_bytes_max));
  }
};

host_open take(wire::HostCommand::Open::Reader from, incoming& in) {
  return {in.text(from.getLibrary(), "host_open.library"),
          in.data(from.getConfigJson(), "host_open.config_json", limits::host_json_bytes_max)};
}

host_submit take(wire::HostCommand::Submit::Reader from, incoming& in) {
  host_submit to;
  to.request = from.getRequest();
  read(from.getBody(), to.body, in);
  return to;
}

host_opened take(wire::HostReport::Opened::Reader from, incoming& in) {
  return {in.text(from.getRuntime(), "host_opened.runtime"),
          in.text(from.getVersion(), "host_opened.version")};
}

host_open_failed take(wire::Error::Reader from, incoming& in) {
  host_open_failed to;
  read(from, to.failure, in);
  return to;
}

host_event take(wire::HostReport::Event::Reader from, incoming& in) {
  host_event to;
  to.request = from.getRequest();
  read(from.getHappened(), to.happened, in);
  return to;
}

host_stats take(wire::HostReport::Stats::Reader from, incoming& in) {
  return {from.getNumber(),
          in.data(from.getJson(), "host_stats.json", limits::host_json_bytes_max)};
}

void read(wire::HostCommand::Reader from, host_command& to, incoming& in) {
  using kind = wire::HostCommand::Which;
  switch (from.which()) {
  case kind::OPEN: to = take(from.getOpen(), in); return;
  case kind::SUBMIT: to = take(from.getSubmit(), in); return;
  case kind::CANCEL: to = host_cancel{from.getCancel()}; return;
  case kind::READ_STATS: to = host_read_stats{from.getReadStats()}; return;
  case kind::CLOSE: to = host_close{}; return;
  }
  in.unknown_kind("host_command", static_cast<unsigned>(from.which()));
}

void read(wire::HostReport::Reader from, host_report& to, incoming& in) {
  using kind = wire::HostReport::Which;
  switch (from.which()) {
  case kind::OPENED: to = take(from.getOpened(), in); return;
  case kind::OPEN_FAILED: to = take(from.getOpenFailed(), in); return;
  case kind::EVENT: to = take(from.getEvent(), in); return;
  case kind::STATS: to = take(from.getStats(), in); return;
  }
  in.unknown_kind("host_report", static_cast<unsigned>(from.which()));
}

} // namespace

encoded encode(const host_command& body) {
  return pack<wire::HostCommand>(frame_kind::host_command, [&](auto to, outgoing& out) {
    std::visit(host_command_writer{to, out}, body);
  });
}

encoded encode(const host_report& body) {
  return pack<wire::HostReport>(frame_kind::host_report, [&](auto to, outgoing& out) {
    std::visit(host_report_writer{to, out}, body);
  });
}

result<host_command> decode_host_command(std::span<const char> bytes) {
  return unpack<wire::HostCommand, host_command>(
      frame_kind::host_command, bytes,
      [](auto from, host_command& to, incoming& in) { read(from, to, in); });
}

result<host_report> decode_host_report(std::span<const char> bytes) {
  return unpack<wire::HostReport, host_report>(
      frame_kind::host_report, bytes,
      [](auto from, host_report& to, incoming& in) { read(from, to, in); });
}

} // namespace consort::messages
