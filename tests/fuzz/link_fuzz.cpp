// SPDX-License-Identifier: Apache-2.0
/// What a guard makes of a stranger's bytes, from the first byte to frames of an admitted peer: the
/// same however they are split, nothing but what the peer's role may send, and never more buffered
/// than one frame may be. The first byte of an input says what the peer is.

#include "links/hello_check.hpp"
#include "links/session.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

using namespace consort;
using messages::frame_kind;

constexpr time_us now = 1'000'000;

/// What one way of splitting the stream gives.
struct outcome {
  std::vector<messages::frame> frames;
  std::string refusal;
  friend bool operator==(const outcome&, const outcome&) = default;
};

/// A door and then a link, without their sockets.
class visitor {
public:
  explicit visitor(links::hello_rules rules) : rules_(std::move(rules)) {}

  outcome read_in_pieces(std::span<const char> stream, std::size_t piece) {
    // A prefix is never judged more harshly than the whole: a slow peer is as good as a fast one.
    const auto opening = links::judge_opening(stream, false);
    if (!opening && links::judge_opening(stream.first(std::min(piece, stream.size())), false))
      std::abort();
    if (opening)
      return {{}, opening->code};
    for (std::size_t at = 0; at < stream.size() && seen_.refusal.empty(); at += piece) {
      peer_.feed(stream.subspan(at, std::min(piece, stream.size() - at)), now);
      take();
      if (peer_.buffered() > messages::limits::frame_bytes_max + piece)
        std::abort();
    }
    return seen_;
  }

private:
  void take() {
    for (;;) {
      auto next = peer_.next(now);
      if (!next)
        seen_.refusal = next.failure().code;
      if (!next || !*next)
        return;
      if (!admitted_) {
        const auto who = links::judge_hello(**next, rules_);
        if (!who) {
          seen_.refusal = who.failure().code;
          return;
        }
        admitted_ = who->role;
        peer_.admit(*admitted_, &rules_);
      }
      if (!links::may_send(*admitted_, (*next)->kind))
        std::abort();
      seen_.frames.push_back(std::move(**next));
    }
  }

  links::hello_rules rules_;
  links::session peer_{links::limits::limit_set{}, now};
  std::optional<links::peer_role> admitted_;
  outcome seen_;
};

links::hello_rules rules_for(std::uint8_t choice) {
  links::hello_rules rules{"lab", "join-token", {}};
  if (choice % 3 == 1)
    rules.certified = links::peer_identity{"lab", links::peer_role::node, "edge-1", "1f", 9};
  if (choice % 3 == 2)
    rules.certified = links::peer_identity{"lab", links::peer_role::gateway, "front", "2a", 9};
  return rules;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const std::span<const char> stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto rules = rules_for(data[0]);
  const auto whole = visitor(rules).read_in_pieces(stream, std::max<std::size_t>(size, 1));
  const std::size_t piece = 1 + (size > 9 ? data[9] : data[0]) % 17U;
  if (visitor(rules).read_in_pieces(stream, piece) != whole)
    std::abort();
  if (const auto tls = links::judge_opening(stream, true);
      !tls && !stream.empty() && stream[0] != '\x16')
    std::abort();
  return 0;
}
