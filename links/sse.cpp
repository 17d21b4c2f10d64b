// SPDX-License-Identifier: Apache-2.0
#include "links/sse.hpp"

#include "links/limits.hpp"

#include <utility>

namespace consort::links {

bool sse_parser::feed(std::string_view bytes) {
  for (const char byte : bytes) {
    if (stopped_)
      return false;
    // CRLF is one line end, even when the two bytes come in different pieces.
    const bool paired = byte == '\n' && after_return_;
    after_return_ = byte == '\r';
    if (paired)
      continue;
    if (byte == '\n' || byte == '\r') {
      stopped_ = !end_line();
    } else if (line_.size() >= limits::sse_line_bytes_max) {
      too_long_ = stopped_ = true;
    } else {
      line_ += byte;
    }
  }
  return !stopped_;
}

bool sse_parser::end_line() {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (std::exchange(first_, false) && line_.starts_with(byte_order_mark))
    line_.erase(0, byte_order_mark.size());
  if (!line_.empty()) {
    too_long_ = !field(line_);
    line_.clear();
    return !too_long_;
  }
  // An event without data is dispatched to nobody (WHATWG HTML, 9.2.6).
  if (!has_data_) {
    event_ = {};
    return true;
  }
  const auto whole = std::move(event_);
  event_ = {};
  has_data_ = false;
  return on_event_(whole);
}

bool sse_parser::field(std::string_view line) {
  const auto colon = line.find(':');
  const auto name = line.substr(0, colon);
  auto text = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  if (name == "event")
    event_.name = text;
  if (name != "data")
    return true;
  if (has_data_)
    event_.data += '\n';
  event_.data += text;
  has_data_ = true;
  return event_.data.size() <= limits::sse_event_bytes_max;
}

} // namespace consort::links
