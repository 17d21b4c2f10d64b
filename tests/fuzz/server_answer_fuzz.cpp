// SPDX-License-Identifier: Apache-2.0
// A model server's answer from bytes: the first says how it is cut. Whatever comes, an attempt gets
// its events in order and one end.
#include "node/runtimes/openai_answer.hpp"
#include "node/runtimes/server_errors.hpp"

#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consort;
  if (size < 2)
    return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] / 2;
  node::openai_answer answer(1 + data[0] % 3, data[0] % 5);
  answer.begin(data[0] % 2 == 0);
  for (std::size_t at = 0; at < text.size(); at += piece)
    answer.feed(text.substr(at, piece));
  answer.finish();
  const auto events = answer.take();
  std::size_t ends = 0;
  for (const auto& one : events)
    ends += std::holds_alternative<attempt_completed>(one)
            || std::holds_alternative<attempt_aborted>(one);
  if (!answer.ended() || ends != 1 || !std::holds_alternative<attempt_opened>(events.front()))
    std::abort();
  static_cast<void>(node::judge_refusal(400 + data[0], text));
  return 0;
}
