// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Server-sent events (WHATWG HTML, 9.2) from a byte stream, however it is cut; a byte order mark
/// before the first is passed over. Pure. Limits: one
/// line at most limits::sse_line_bytes_max bytes, the data of one event, of however many lines, at
/// most limits::sse_event_bytes_max; beyond either the parser fails and stays failed.

#include <functional>
#include <string>
#include <string_view>

namespace consort::links {

/// One event: `name` empty means `message`; `data` has its lines joined with newlines.
struct sse_event {
  std::string name;
  std::string data;
};

class sse_parser {
public:
  /// Called for each whole event; returns false to stop.
  using handler = std::function<bool(const sse_event&)>;

  explicit sse_parser(handler on_event) : on_event_(std::move(on_event)) {}
  /// Returns: false once the handler stopped or a limit was passed.
  bool feed(std::string_view bytes);
  /// Whether a line or an event was longer than it may be.
  [[nodiscard]] bool too_long() const { return too_long_; }

private:
  bool end_line();
  /// Returns: false when the event grows too long.
  [[nodiscard]] bool field(std::string_view line);

  handler on_event_;
  std::string line_;
  sse_event event_;
  bool first_ = true; ///< No line has ended yet.
  bool has_data_ = false;
  bool after_return_ = false; ///< The last byte was CR: an LF next belongs to it.
  bool stopped_ = false;
  bool too_long_ = false;
};

} // namespace consort::links
