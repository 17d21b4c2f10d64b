// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/host_log.hpp"

#include "node/host/limits.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace consort::node {

void host_log::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = std::min(bytes.find('\n'), bytes.size());
    const auto room = limits::log_line_bytes_max - line_.size();
    line_.append(bytes.substr(0, std::min(end, room)));
    if (end == bytes.size())
      return;
    end_line();
    bytes.remove_prefix(end + 1);
  }
}

std::string host_log::tail() const {
  std::string joined;
  const auto add = [&](const std::string& line) { joined += (joined.empty() ? "" : " | ") + line; };
  std::for_each(tail_.begin(), tail_.end(), add);
  if (!line_.empty())
    add(is_utf8(line_) ? line_ : "(bytes)");
  return joined;
}

void host_log::end_line() {
  const bool text = is_utf8(line_);
  std::replace_if(
      line_.begin(), line_.end(),
      [&](char byte) {
        const auto code = static_cast<unsigned char>(byte);
        return code < 0x20 || code == 0x7f || (code >= 0x80 && !text);
      },
      '?');
  if (++lines_ <= limits::log_lines_per_session_max)
    spdlog::debug("{}: {}", name_, line_);
  else if (lines_ == limits::log_lines_per_session_max + 1)
    spdlog::warn("{}: prints too much; further lines are dropped", name_);
  if (!line_.empty())
    tail_.push_back(std::move(line_));
  line_.clear();
  if (tail_.size() > limits::log_tail_lines_max)
    tail_.pop_front();
}

namespace {

/// How many continuation bytes follow the lead byte, and the range of the first of them; the rest
/// are 80..BF (Unicode, table 3-7).
struct utf8_form {
  std::size_t more = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
};

bool lead(unsigned char byte, utf8_form& form) {
  if (byte >= 0xc2 && byte <= 0xdf)
    form.more = 1;
  else if (byte >= 0xe0 && byte <= 0xef)
    form = {2, byte == 0xe0 ? std::uint8_t{0xa0} : std::uint8_t{0x80},
            byte == 0xed ? std::uint8_t{0x9f} : std::uint8_t{0xbf}};
  else if (byte >= 0xf0 && byte <= 0xf4)
    form = {3, byte == 0xf0 ? std::uint8_t{0x90} : std::uint8_t{0x80},
            byte == 0xf4 ? std::uint8_t{0x8f} : std::uint8_t{0xbf}};
  else
    return false;
  return true;
}

} // namespace

bool is_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const auto first = static_cast<unsigned char>(bytes[at]);
    if (first < 0x80)
      continue;
    utf8_form form;
    if (!lead(first, form) || bytes.size() - at <= form.more)
      return false;
    for (std::size_t step = 0; step < form.more; ++step) {
      const auto next = static_cast<unsigned char>(bytes[++at]);
      if (next < (step == 0 ? form.low : 0x80) || next > (step == 0 ? form.high : 0xbf))
        return false;
    }
  }
  return true;
}

} // namespace consort::node
