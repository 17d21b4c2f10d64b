// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chunked body, cut at any place: the pieces that come out do not depend on where it
// was cut, and an error is final. Any text as a byte range stays within the content.
#include "gateway/chunked_body.hpp"
#include "node/byte_range.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace consort;

void require(bool true_statement) {
  if (!true_statement)
    std::abort();
}

struct decoded {
  std::string content;
  bool ended = false;
  bool failed = false;
};

decoded decode(std::span<const char> bytes, std::size_t step) {
  gateway::chunked_body body;
  decoded out;
  while (!bytes.empty() && !out.failed) {
    auto piece = bytes.first(std::min(step, bytes.size()));
    while (!piece.empty()) {
      const auto got = body.take(piece);
      out.failed = !got.ok();
      if (out.failed || got->taken == 0)
        break;
      require(got->taken <= piece.size() && got->content.size() <= got->taken);
      out.content.append(got->content.data(), got->content.size());
      piece = piece.subspan(got->taken);
    }
    if (body.ended())
      break;
    bytes = bytes.subspan(std::min(step, bytes.size()));
  }
  out.ended = body.ended();
  return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = decode(text, size + 1);
  for (const std::size_t step : {1U, 3U, 64U}) {
    const auto cut = decode(text, step);
    require(cut.content == whole.content && cut.ended == whole.ended && cut.failed == whole.failed);
  }
  constexpr std::uint64_t bytes = 1'000;
  const auto judged = node::judge_range(text, bytes);
  require(judged.range.begin <= bytes && judged.range.size <= bytes - judged.range.begin);
  if (const auto said = node::parse_content_range(text))
    require(said->range.begin + said->range.size <= said->size_bytes);
  return 0;
}
