// SPDX-License-Identifier: Apache-2.0
#include "cli/logging.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>

namespace consort::cli {

namespace {

/// `%*`: the message without control characters.
class plain_message final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const auto text = on_one_line({message.payload.data(), message.payload.size()});
    out.append(text.data(), text.data() + text.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<plain_message>();
  }
};

/// `%*`: the message as a JSON string of ASCII, whatever bytes it holds.
class json_message final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text(message.payload.data(), message.payload.size());
    const auto quoted
        = nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    out.append(quoted.data(), quoted.data() + quoted.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<json_message>();
  }
};

} // namespace

std::string on_one_line(std::string_view message) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(message.size());
  for (std::size_t at = 0; at < message.size(); ++at) {
    const auto byte = static_cast<unsigned char>(message[at]);
    // U+0080 to U+009F are control characters, too; in UTF-8 they are C2 and a second byte.
    const auto next = at + 1 < message.size() ? static_cast<unsigned char>(message[at + 1]) : 0;
    const bool further = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    if (byte >= 0x20 && byte != 0x7F && !further) {
      out += message[at];
      continue;
    }
    const auto code = further ? next : byte;
    out.append("\\x").append(1, digits[code >> 4]).append(1, digits[code & 15]);
    at += further ? 1 : 0;
  }
  return out;
}

std::unique_ptr<spdlog::formatter> make_log_formatter(const std::string& format) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (format == "json")
    formatter->add_flag<json_message>('*').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%*})");
  else
    formatter->add_flag<plain_message>('*').set_pattern("%H:%M:%S.%e %^%-7l%$ %*");
  return formatter;
}

void set_up_logging(const std::string& level, const std::string& format) {
  auto logger = spdlog::stderr_color_mt("consort");
  logger->set_formatter(make_log_formatter(format));
  logger->set_level(spdlog::level::from_str(level == "warn" ? "warning" : level));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
  spdlog::flush_every(std::chrono::seconds(1));
}

} // namespace consort::cli
