// SPDX-License-Identifier: Apache-2.0
// A model server's answer from bytes: the first says how it is cut and what the server speaks.
// Whatever comes, an attempt gets its events in order and one end; metrics, waits and limits are
// read or not, within their bounds.
#include "node/runtimes/engine_gauges.hpp"
#include "node/runtimes/kv_transfer.hpp"
#include "node/runtimes/rate_gate.hpp"
#include "node/runtimes/server_dialect.hpp"
#include "node/runtimes/server_errors.hpp"
#include "node/runtimes/wait_times.hpp"

#include <cstdlib>
#include <span>

namespace {

void check_readers(std::string_view text, bool json) {
  using namespace consort;
  const auto wait = node::parse_wait(text, 1'767'225'600);
  if (wait && (*wait < 0 || *wait > node::limits::server_closed_us_max))
    std::abort();
  const std::string value(text.substr(text.find(':') + 1));
  static_cast<void>(node::read_rate_headers({{std::string(text.substr(0, 40)), value}}, 0));
  static_cast<void>(node::decode_body(R"({"a": 1})", text));
  static_cast<void>(node::prefill_body(std::string(text)));
  node::metrics_rule rule;
  rule.json = json;
  rule.figures["running"] = {{json ? "/a" : "a", json ? "" : "b", 1}};
  rule.figures["kv_used"] = {{json ? "/b/c" : "b", "", 100}};
  const auto read = node::read_gauges(rule, text);
  if (read && read->gauges.kv_used_pm.value_or(0) > 1000)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consort;
  if (size < 2)
    return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] / 2;
  node::server_request asked;
  asked.choices = 1 + data[0] % 3;
  asked.max_tokens = data[0] % 5;
  asked.answered_in = static_cast<node::server_protocol>(data[0] / 64 % 3);
  asked.embeddings = data[0] / 32 == 7 ? 1 + data[0] % 3 : 0;
  asked.stops = {"a", "\n\n"};
  const auto answer = node::make_server_answer(asked);
  answer->begin(data[0] % 2 == 0);
  for (std::size_t at = 0; at < text.size(); at += piece)
    answer->feed(text.substr(at, piece));
  answer->finish();
  const auto events = answer->take();
  std::size_t ends = 0;
  for (const auto& one : events)
    ends += std::holds_alternative<attempt_completed>(one)
            || std::holds_alternative<attempt_aborted>(one);
  if (!answer->ended() || ends != 1 || !std::holds_alternative<attempt_opened>(events.front()))
    std::abort();
  static_cast<void>(node::judge_refusal(400 + data[0], text));
  check_readers(text, data[0] % 2 == 0);
  return 0;
}
