// SPDX-License-Identifier: Apache-2.0
#include "cli/load_client.hpp"

#include "cli/api.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"
#include "cli/transport.hpp"
#include "client/limits.hpp"
#include "links/sse.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace consort::cli {

namespace beast = boost::beast;
namespace http = beast::http;
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

using clock = std::chrono::steady_clock;
// Errors come back beside the result instead of as exceptions.
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

duration_us between(clock::time_point from, clock::time_point to) {
  return std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
}

/// What all streams share; one thread, no locks.
struct load_state {
  const load_options& options;
  http_target target;
  asio::ip::tcp::resolver::results_type addresses;
  load_report report;
  std::uint32_t started = 0;
  clock::time_point due = clock::now(); ///< When the latest one that was started had to begin.
  core::prng chance{1};

  /// When the next request has to begin.
  clock::time_point next_due() {
    if (options.rate <= 0)
      return clock::now();
    return due += std::chrono::microseconds(next_arrival_us(chance, options.rate));
  }

  void count_error(const std::string& kind, const std::string& words = {}) {
    ++report.errors[kind];
    if (!words.empty())
      report.said.emplace(kind, words);
  }
};

/// The events of one answer.
class answer_meter {
public:
  answer_meter(load_report& report, clock::time_point sent) : report_(report), sent_(sent) {}

  bool on_event(const links::sse_event& event) {
    if (event.data == "[DONE]")
      return done_ = true;
    const auto chunk = json::parse(event.data, nullptr, false);
    if (chunk.is_discarded() || chunk.contains("error")) {
      const auto code = chunk.is_discarded() ? "not JSON" : text_at(chunk, "/error/code");
      wrong_ = "error event" + (code.empty() ? "" : ": " + code);
      words_ = chunk.is_discarded() ? "" : printable(text_at(chunk, "/error/message"));
      return false;
    }
    if (const auto device = text_at(chunk, "/usage/consort/device"); !device.empty())
      report_.devices.insert(printable(device));
    if (const auto usage = count_at(chunk, "/usage/completion_tokens"); !usage.empty())
      usage_tokens_ = std::stoull(usage);
    // Role, usage and finish chunks carry no text and are no tokens.
    if (text_at(chunk, "/choices/0/text").empty())
      return true;
    const auto now = clock::now();
    if (chunks_++ == 0)
      report_.first_token_us.push_back(between(sent_, now));
    else
      report_.token_gap_us.push_back(between(last_, now));
    last_ = now;
    return true;
  }

  /// The body of an answer that is none, from its beginning.
  void on_refusal(const std::string& body) {
    const auto parsed = json::parse(body, nullptr, false);
    words_ = parsed.is_discarded() ? "" : printable(text_at(parsed, "/error/message"));
  }
  /// What the server said of what went wrong; may be empty.
  [[nodiscard]] const std::string& words() const { return words_; }

  /// Returns: what went wrong; empty = nothing.
  std::string finish() {
    if (!wrong_.empty())
      return wrong_;
    if (!done_)
      return "stream ended early";
    ++report_.finished;
    report_.chunks += chunks_;
    report_.tokens += usage_tokens_.value_or(chunks_);
    report_.whole_us.push_back(between(sent_, clock::now()));
    return {};
  }

private:
  load_report& report_;
  const clock::time_point sent_;
  clock::time_point last_;
  std::uint64_t chunks_ = 0;
  std::optional<std::uint64_t> usage_tokens_;
  bool done_ = false;
  std::string wrong_; ///< What an error event said.
  std::string words_;
};

http::request<http::string_body> request_of(const load_state& state, std::uint32_t number) {
  const auto& options = state.options;
  json body{{"model", options.model},
            {"prompt", options.prompt.empty() ? made_up_prompt(options.input_tokens, number)
                                              : options.prompt},
            {"max_tokens", options.max_tokens},
            {"temperature", 0},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  http::request<http::string_body> made{http::verb::post, state.target.prefix + "/v1/completions",
                                        11};
  made.set(http::field::host, state.target.host + ":" + state.target.port);
  made.set(http::field::content_type, "application/json");
  if (!options.api_key.empty())
    made.set(http::field::authorization, "Bearer " + options.api_key);
  if (!options.device.empty())
    made.set("X-Consort-Device", options.device);
  made.body() = body.dump(-1, ' ', false, json::error_handler_t::replace);
  made.prepare_payload();
  return made;
}

/// Reads one answer to its end. Returns: what went wrong; empty = nothing.
asio::awaitable<std::string> read_answer(beast::tcp_stream& stream, beast::flat_buffer& buffer,
                                         answer_meter& meter, bool& keep_alive) {
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  stream.expires_after(limits::stream_gap_timeout);
  auto [failed, ignored] = co_await http::async_read_header(stream, buffer, parser, as_values);
  if (failed)
    co_return failed.message();
  const auto status = parser.get().result_int();
  links::sse_parser events(
      [&meter](const links::sse_event& event) { return meter.on_event(event); });
  std::array<char, 16 * 1024> piece{};
  std::string refusal;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    stream.expires_after(limits::stream_gap_timeout);
    auto [broken, read] = co_await http::async_read_some(stream, buffer, parser, as_values);
    if (broken && broken != http::error::need_buffer)
      co_return broken.message();
    const std::string_view came(piece.data(), piece.size() - parser.get().body().size);
    if (status == 200)
      events.feed(came);
    else if (refusal.size() < piece.size())
      refusal += came;
  }
  // Only after the whole answer: a half-read connection cannot carry another request.
  keep_alive = parser.keep_alive();
  if (status == 200)
    co_return meter.finish();
  meter.on_refusal(refusal);
  co_return "HTTP " + std::to_string(status);
}

/// One of the concurrent streams: requests one after another until none are left.
asio::awaitable<void> run_stream(load_state& state) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  asio::steady_timer clock_hand(stream.get_executor());
  beast::flat_buffer buffer;
  bool connected = false;
  while (state.started < state.options.requests) {
    const auto request = request_of(state, state.started++);
    const auto due = state.next_due();
    clock_hand.expires_at(due);
    if (state.options.rate > 0)
      co_await clock_hand.async_wait(as_values);
    if (!connected) {
      buffer.clear();
      stream.close();
      stream.expires_after(transport::limits::connect_timeout);
      auto [failed, where] = co_await stream.async_connect(state.addresses, as_values);
      if (failed) {
        state.count_error("connect: " + failed.message());
        continue;
      }
      error_code ignored;
      stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    }
    answer_meter meter(state.report, state.options.rate > 0 ? due : clock::now());
    stream.expires_after(limits::stream_gap_timeout);
    auto [unsent, bytes] = co_await http::async_write(stream, request, as_values);
    // Until read_answer says otherwise; after any failure the next request reconnects.
    connected = false;
    std::string wrong = unsent ? unsent.message() : "";
    if (!unsent)
      wrong = co_await read_answer(stream, buffer, meter, connected);
    if (!wrong.empty())
      state.count_error(wrong, meter.words());
  }
}

} // namespace

result<load_report> run_load(const load_options& options) {
  auto target = parse_url(options.url);
  if (!target)
    return target.failure();
  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  error_code failed;
  auto addresses = resolver.resolve(target->host, target->port, failed);
  if (failed)
    return error{recovery::retry_later, "unreachable",
                 "cannot resolve " + options.url + ": " + failed.message()};
  load_state state{options, std::move(*target), std::move(addresses), {}, 0};
  const auto start = clock::now();
  for (std::uint32_t number = 0; number < options.streams; ++number)
    asio::co_spawn(context, run_stream(state), asio::detached);
  context.run();
  auto& report = state.report;
  report.wall_us = between(start, clock::now());
  for (auto* spans : {&report.first_token_us, &report.token_gap_us, &report.whole_us})
    std::sort(spans->begin(), spans->end());
  // Nothing but refused connections is a missing server, not a slow one.
  const bool refused = std::any_of(report.errors.begin(), report.errors.end(), [](const auto& one) {
    return one.first.rfind("connect: ", 0) == 0;
  });
  if (report.finished == 0 && refused && report.errors.size() == 1)
    return error{recovery::retry_later, "unreachable",
                 "cannot reach " + options.url + " (" + report.errors.begin()->first
                     + "): is a cluster running? start one with: consort up"};
  return std::move(report);
}

duration_us next_arrival_us(core::prng& chance, double rate) {
  constexpr std::uint64_t steps = 1U << 30U;
  // Never 0, whose logarithm is infinite.
  const auto share = (static_cast<double>(chance.below(steps)) + 0.5) / steps;
  return std::llround(-std::log(share) * 1e6 / rate);
}

std::string made_up_prompt(std::uint32_t tokens, std::uint64_t number) {
  constexpr std::array<std::string_view, 16> words{"the",   "girl", "small", "tree", "went", "home",
                                                   "happy", "dog",  "ball",  "saw",  "big",  "red",
                                                   "house", "with", "and",   "sun"};
  core::prng chance(number + 1);
  std::string made;
  for (std::uint32_t at = 0; at < tokens; ++at)
    made += (made.empty() ? "" : " ") + std::string(words[chance.below(words.size())]);
  return made;
}

} // namespace consort::cli
