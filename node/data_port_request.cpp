// SPDX-License-Identifier: Apache-2.0
#include "node/data_port_request.hpp"

#include "node/file_digest.hpp"

#include <boost/beast/http/status.hpp>
#include <nlohmann/json.hpp>

namespace consort::node {

namespace http = boost::beast::http;

namespace {

constexpr std::string_view artifacts_path = "/v1/artifacts/";
constexpr std::size_t quality_header_bytes_max = 4'096;

refusal refuse(unsigned status, std::string code, std::string message) {
  return {status, {recovery::refuse, std::move(code), std::move(message)}};
}

std::string_view word_of(recovery action) {
  switch (action) {
  case recovery::retry_elsewhere: return "retry_elsewhere";
  case recovery::retry_later: return "retry_later";
  case recovery::refuse: return "refuse";
  case recovery::bug: return "bug";
  }
  return "bug";
}

void add(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

std::string begin_head(unsigned status, bool keep_alive) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  std::string head;
  head.reserve(512);
  head.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  head.append(reason.data(), reason.size()).append("\r\nServer: consort\r\n");
  add(head, "Connection", keep_alive ? "keep-alive" : "close");
  return head;
}

void add_figure(std::string& text, const std::string& name, std::string_view kind,
                std::string_view help, std::uint64_t value) {
  text.append("# HELP consort_data_").append(name).append(" ").append(help);
  text.append("\n# TYPE consort_data_").append(name).append(" ").append(kind);
  text.append("\nconsort_data_").append(name).append(" ").append(std::to_string(value) + "\n");
}

std::variant<data_route, refusal> wrong_method(std::string_view path, std::string_view allowed) {
  return refuse(405, "wrong_method", std::string(path) + " takes " + std::string(allowed));
}

} // namespace

std::variant<data_route, refusal> find_route(const request_message& request) {
  const std::string_view target(request.target().data(), request.target().size());
  if (target == "/v1/attempts") {
    if (request.method() != http::verb::post)
      return wrong_method(target, "POST");
    return data_route{data_target::attempts, {}};
  }
  if (target.starts_with(artifacts_path) && is_digest(target.substr(artifacts_path.size()))) {
    if (request.method() != http::verb::get && request.method() != http::verb::head)
      return wrong_method(target.substr(0, artifacts_path.size()), "GET and HEAD");
    return data_route{data_target::artifact,
                      digest(std::string(target.substr(artifacts_path.size())))};
  }
  if (target == "/metrics") {
    if (request.method() != http::verb::get)
      return wrong_method(target, "GET");
    return data_route{data_target::metrics, {}};
  }
  return refuse(404, "unknown_path",
                "a data port has /v1/attempts, /v1/artifacts/SHA256 and /metrics, nothing else");
}

bool may_use(links::peer_role role, data_target target) {
  if (role == links::peer_role::scheduler || target == data_target::metrics)
    return true;
  return role
         == (target == data_target::attempts ? links::peer_role::gateway : links::peer_role::node);
}

std::variant<messages::attempt_open, refusal> read_attempt_open(std::span<const char> body) {
  messages::frame_reader reader;
  reader.feed(body);
  auto frame = reader.next();
  if (!frame)
    return refusal{frame.failure().code == "frame_too_large" ? 413U : 400U, frame.failure()};
  if (!*frame)
    return refuse(400, "bad_frame", "the body ends within its frame");
  if ((*frame)->kind != messages::frame_kind::attempt_open)
    return refuse(400, "wrong_kind",
                  "an attempt begins with attempt_open, not "
                      + std::string(messages::name_of((*frame)->kind)));
  if (reader.buffered() > 0)
    return refuse(400, "bad_frame", "the body goes on after its frame");
  auto open = messages::decode_attempt_open((*frame)->payload);
  if (!open)
    return refusal{400, open.failure()};
  return std::move(*open);
}

std::optional<refusal> describe_read(boost::system::error_code failed) {
  if (failed == http::error::header_limit)
    return refuse(431, "head_too_large",
                  "request line and headers exceed " + std::to_string(limits::data_head_bytes_max)
                      + " bytes");
  if (failed == http::error::body_limit)
    return refuse(413, "body_too_large",
                  "the body exceeds " + std::to_string(messages::limits::body_frame_bytes_max)
                      + " bytes and a frame's head");
  const bool malformed
      = failed.category() == make_error_code(http::error::bad_line_ending).category()
        && failed != http::error::end_of_stream && failed != http::error::partial_message;
  if (malformed)
    return refuse(400, "malformed_http", "not an HTTP/1.1 request: " + failed.message());
  return std::nullopt;
}

std::string render_refusal(const refusal& problem, bool keep_alive) {
  const nlohmann::json body{{"error",
                             {{"code", problem.why.code},
                              {"action", word_of(problem.why.action)},
                              {"message", problem.why.message}}}};
  const auto text = body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  auto head = begin_head(problem.status, keep_alive);
  add(head, "Content-Type", "application/json");
  add(head, "Content-Length", std::to_string(text.size()));
  if (problem.why.action == recovery::retry_later)
    add(head, "Retry-After", "1");
  return head.append("\r\n").append(text);
}

std::string render_stream_head(bool keep_alive) {
  auto head = begin_head(200, keep_alive);
  add(head, "Content-Type", "application/vnd.consort.frames");
  add(head, "Transfer-Encoding", "chunked");
  return head.append("\r\n");
}

std::string render_metrics(const data_port_counters& seen) {
  std::string text;
  add_figure(text, "connections", "gauge", "Connections to this data port.", seen.connections);
  add_figure(text, "attempts_open", "gauge", "Attempts under way.", seen.attempts_open);
  add_figure(text, "accepted_total", "counter", "TCP connections.", seen.accepted);
  add_figure(text, "attempts_total", "counter", "Attempts opened, refused tickets included.",
             seen.attempts);
  add_figure(text, "frames_total", "counter", "Attempt events handed to sockets.", seen.frames);
  add_figure(text, "overflowed_total", "counter", "Attempts ended because the peer was too slow.",
             seen.overflowed);
  add_figure(text, "abandoned_total", "counter", "Attempts ended by peers that closed.",
             seen.abandoned);
  add_figure(text, "artifact_bytes_total", "counter", "Bytes of artifacts sent.",
             seen.artifact_bytes);
  text.append("# HELP consort_data_refused_total Requests and connections refused.\n"
              "# TYPE consort_data_refused_total counter\n");
  for (const auto& [reason, count] : seen.refused) // Codes are words of our own.
    text.append("consort_data_refused_total{reason=\"" + reason + "\"} " + std::to_string(count)
                + "\n");
  return text;
}

std::string render_metrics_head(std::size_t bytes, bool keep_alive) {
  auto head = begin_head(200, keep_alive);
  add(head, "Content-Type", "text/plain; version=0.0.4");
  add(head, "Content-Length", std::to_string(bytes));
  return head.append("\r\n");
}

std::string render_artifact_head(const artifact_record& record, const range_answer& asked,
                                 bool keep_alive) {
  const bool whole = asked.verdict == range_verdict::whole;
  auto head = begin_head(whole                                     ? 200
                         : asked.verdict == range_verdict::partial ? 206
                                                                   : 416,
                         keep_alive);
  add(head, "Content-Type", "application/octet-stream");
  add(head, "Content-Length", std::to_string(asked.range.size));
  add(head, "Accept-Ranges", "bytes");
  add(head, "ETag", "\"" + record.content.value + "\"");
  if (!whole)
    add(head, "Content-Range", format_content_range(asked.range, record.size_bytes));
  add(head, "X-Consort-Build-Us", std::to_string(record.build_us));
  const auto quality = nlohmann::json(record.quality)
                           .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (!record.quality.empty() && quality.size() <= quality_header_bytes_max)
    add(head, "X-Consort-Quality", quality);
  return head.append("\r\n");
}

} // namespace consort::node
