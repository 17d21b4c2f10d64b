// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model server's answer as events of an attempt, whatever the server speaks. Owned by one
/// attempt; no I/O, no clock.
///
/// Invariants, for every protocol: `attempt_opened` comes first, exactly one terminal event last
/// and nothing after it; text is UTF-8; no choice ends twice.

#include "messages/attempt_service.hpp"

#include <string_view>
#include <utility>

namespace consort::node {

class server_answer {
public:
  virtual ~server_answer() = default;

  /// The head was 200. Call once, before feed().
  void begin(bool event_stream) {
    streamed_ = event_stream;
    out_.emplace_back(attempt_opened{});
  }
  virtual void feed(std::string_view bytes) = 0;
  /// The body is whole. Ends the attempt if nothing did.
  virtual void finish() = 0;

  /// What happened since the last call.
  [[nodiscard]] std::vector<attempt_event> take() { return std::exchange(out_, {}); }
  [[nodiscard]] bool ended() const { return ended_; }

protected:
  void say(attempt_event happened) { out_.push_back(std::move(happened)); }
  void end(attempt_event last) {
    if (!std::exchange(ended_, true))
      out_.push_back(std::move(last));
  }
  /// The server's fault: the attempt may be had elsewhere.
  void fail(std::string code, const std::string& what) {
    end(attempt_aborted{
        {recovery::retry_elsewhere, std::move(code), "the model server failed: " + what}, true});
  }
  /// Counts bytes of the answer. Returns: whether there may be as many; fails when not.
  [[nodiscard]] bool within_bounds(std::size_t bytes);
  [[nodiscard]] bool streamed() const { return streamed_; }

private:
  std::vector<attempt_event> out_;
  std::uint64_t bytes_ = 0;
  bool streamed_ = true;
  bool ended_ = false;
};

} // namespace consort::node
