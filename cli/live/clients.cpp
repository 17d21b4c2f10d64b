// SPDX-License-Identifier: Apache-2.0
#include "cli/live/clients.hpp"

#include "cli/live/limits.hpp"
#include "links/sse.hpp"
#include "scenarios/sim/random.hpp"
#include "scheduler/prng.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include <array>
#include <charconv>

namespace consort::live {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using nlohmann::json;

namespace {

constexpr auto with_error = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t bytes_per_token = 4; ///< As the gateway estimates.
constexpr std::array<const char*, 3> priority_words{"interactive", "standard", "batch"};
constexpr std::string_view token_word = "sim"; ///< Begins each token of a simulated device.

/// `bytes` bytes of plain text that follow from `seed`.
std::string filler(std::uint64_t seed, std::size_t bytes) {
  core::prng chance(seed);
  std::string made;
  made.reserve(bytes + 16);
  while (made.size() < bytes) {
    auto bits = chance.next();
    for (int letter = 0; letter < 7; ++letter, bits >>= 5U)
      made += static_cast<char>('a' + bits % 26);
    made += ' ';
  }
  made.resize(bytes);
  return made;
}

/// As the gateway answers; scenarios/sim/gateway_model.cpp says the same of its own.
request_outcome outcome_of(unsigned status) {
  return status == 408                    ? request_outcome::expired
         : status >= 500 && status != 503 ? request_outcome::failed
                                          : request_outcome::rejected;
}

/// An error event has no status, but a type that stands for it.
request_outcome outcome_of(const std::string& type) {
  return type == "timeout_error"  ? request_outcome::expired
         : type == "server_error" ? request_outcome::failed
                                  : request_outcome::rejected;
}

std::string text_of(const json& from, const char* pointer) {
  const json::json_pointer at(pointer);
  return from.contains(at) && from[at].is_string() ? from[at].get<std::string>() : std::string();
}

std::uint32_t count_of(const json& from, const char* pointer) {
  const json::json_pointer at(pointer);
  return from.contains(at) && from[at].is_number_unsigned() ? from[at].get<std::uint32_t>() : 0;
}

} // namespace

/// One request and its connection.
struct clients::exchange {
  exchange(asio::io_context& io, request_meta asked) : meta(std::move(asked)), stream(io) {}

  request_meta meta;
  std::uint32_t output_tokens = 0;
  std::string prompt;
  beast::tcp_stream stream;
  std::vector<std::int32_t> token_ids;
  device_id device; ///< As the answer's head says.
  bool answered = false;
  bool finished = false;                  ///< The stream said that it is done.
  std::optional<request_outcome> outcome; ///< Of an error event.
  std::string code;

  [[nodiscard]] http::request<http::string_body> request() const;
  void take_head(const http::response_header<>& head);
  bool take_event(const links::sse_event& event, served_note& note);
};

http::request<http::string_body> clients::exchange::request() const {
  const json body{{"model", meta.model.value},
                  {"prompt", prompt},
                  {"max_tokens", output_tokens},
                  {"stream", true},
                  {"stream_options", {{"include_usage", true}}}};
  http::request<http::string_body> made(http::verb::post, "/v1/completions", 11);
  made.set(http::field::host, "127.0.0.1");
  made.set(http::field::connection, "close");
  made.set(http::field::content_type, "application/json");
  made.set("X-Request-Id", meta.external_id);
  made.set("X-Consort-Device", meta.selector);
  made.set("X-Consort-Priority", priority_words.at(static_cast<std::size_t>(meta.priority)));
  if (meta.policy)
    made.set("X-Consort-Policy", meta.policy->value);
  if (meta.hedge)
    made.set("X-Consort-Hedge", "true");
  if (meta.deadline_us)
    made.set("X-Consort-Deadline", std::to_string(*meta.deadline_us) + "us");
  made.body() = body.dump();
  made.prepare_payload();
  return made;
}

void clients::exchange::take_head(const http::response_header<>& head) {
  device = device_id(std::string(head["X-Consort-Device"]));
}

/// Returns: whether it brought text.
bool clients::exchange::take_event(const links::sse_event& event, served_note& note) {
  if (event.data == "[DONE]")
    return finished = true, false;
  const auto said = json::parse(event.data, nullptr, false);
  if (said.is_discarded() || said.contains("error")) {
    outcome
        = said.is_discarded() ? request_outcome::failed : outcome_of(text_of(said, "/error/type"));
    code = said.is_discarded() ? "not_json" : text_of(said, "/error/code");
    return false;
  }
  if (said.contains("usage") && said["usage"].is_object()) {
    note.prompt_tokens = count_of(said, "/usage/prompt_tokens");
    note.cached_tokens = count_of(said, "/usage/prompt_tokens_details/cached_tokens");
    note.device = text_of(said, "/usage/consort/device");
    note.attempts = count_of(said, "/usage/consort/attempts");
  }
  const auto text = text_of(said, "/choices/0/text");
  const auto places = token_places(text);
  token_ids.insert(token_ids.end(), places.begin(), places.end());
  return !places.empty();
}

clients::clients(asio::io_context& io, const sim::observer_list& watchers,
                 std::function<time_us()> clock)
    : io_(io), watchers_(watchers), clock_(std::move(clock)) {}

clients::~clients() = default;

request_id clients::submit(request_meta meta, std::uint32_t output_tokens,
                           sim::client_prompt prompt,
                           const std::function<void(const request_id&)>& known) {
  meta.id = {gateway_id{1}, ++submitted_};
  const auto id = meta.id;
  if (known)
    known(id);
  const auto now = clock_();
  watchers_.each([&](sim::observer& watcher) { watcher.on_submitted(meta, now); });
  const auto one = std::make_shared<exchange>(io_, std::move(meta));
  one->output_tokens = output_tokens;
  one->prompt = prompt_of(one->meta.external_id, one->meta.prompt_tokens, prompt);
  live_[id] = one;
  asio::co_spawn(io_, run(one), asio::detached);
  return id;
}

void clients::leave(const request_id& request) {
  const auto found = live_.find(request);
  if (found == live_.end())
    return;
  const auto one = found->second;
  one->stream.close();
  answer(*one, request_outcome::cancelled, "client_left");
}

void clients::leave_all(const std::string& code) {
  while (!live_.empty()) {
    const auto one = live_.begin()->second;
    one->stream.close();
    answer(*one, request_outcome::failed, code);
  }
}

void clients::answer(exchange& one, request_outcome outcome, const std::string& code) {
  if (std::exchange(one.answered, true))
    return;
  live_.erase(one.meta.id);
  const sim::client_answer ended{one.meta.id, outcome, code, one.token_ids, one.output_tokens};
  watchers_.each([&](sim::observer& watcher) { watcher.on_answered(ended, clock_()); });
}

task<void> clients::run(std::shared_ptr<exchange> one) {
  auto& stream = one->stream;
  const auto broken = [&](const boost::system::error_code& why) {
    answer(*one, request_outcome::failed, "connection: " + why.message());
  };
  const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(), gateway_);
  if (auto [failed] = co_await stream.async_connect(where, with_error); failed)
    co_return broken(failed);
  boost::system::error_code ignored;
  stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto asked = one->request();
  if (auto [failed, sent] = co_await http::async_write(stream, asked, with_error); failed)
    co_return broken(failed);
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  if (auto [failed, got] = co_await http::async_read_header(stream, buffer, parser, with_error);
      failed)
    co_return broken(failed);
  one->take_head(parser.get());
  auto& note = served_[one->meta.external_id];
  note.device = one->device.value;
  links::sse_parser events([&](const links::sse_event& event) {
    const auto before = one->token_ids.size();
    if (!one->answered && one->take_event(event, note)) {
      const auto now = clock_();
      const auto count = static_cast<std::uint32_t>(one->token_ids.size() - before);
      watchers_.each([&](sim::observer& watcher) {
        watcher.on_tokens(one->meta.id, one->device, count, now);
      });
    }
    return !one->answered;
  });
  const auto status = parser.get().result_int();
  std::array<char, 8 * 1024> piece{};
  std::string whole;
  while (!parser.is_done() && !one->answered) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    auto [failed, got] = co_await http::async_read_some(stream, buffer, parser, with_error);
    if (failed && failed != http::error::need_buffer)
      co_return broken(failed);
    const std::string_view fresh(piece.data(), piece.size() - parser.get().body().size);
    if (status == 200)
      events.feed(fresh);
    else if (whole.size() < limits::last_words_bytes_max)
      whole += fresh;
  }
  if (status != 200)
    co_return answer(*one, outcome_of(status),
                     text_of(json::parse(whole, nullptr, false), "/error/code"));
  if (one->finished)
    co_return answer(*one, request_outcome::finished, "");
  answer(*one, one->outcome.value_or(request_outcome::failed),
         one->outcome ? one->code : "stream_ended_early");
}

std::string prompt_of(const std::string& request, std::uint32_t tokens,
                      const sim::client_prompt& known) {
  // The gateway counts one token more than there are whole ones.
  const auto bytes = std::size_t{std::max(tokens, 1U) - 1} * bytes_per_token;
  std::string made;
  for (const auto hash : known.prefix)
    if (made.size() < bytes)
      made += filler(hash, std::size_t{known.prefix_tokens} * bytes_per_token);
  if (made.size() < bytes)
    made += (request + " " + filler(sim::fold(sim::fold_start, request), bytes))
                .substr(0, bytes - made.size());
  made.resize(bytes);
  return made;
}

std::vector<std::int32_t> token_places(std::string_view text) {
  std::vector<std::int32_t> made;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (word.empty())
      continue;
    std::int32_t place = -1;
    if (word.starts_with(token_word))
      std::from_chars(word.data() + token_word.size(), word.data() + word.size(), place);
    made.push_back(place);
  }
  return made;
}

} // namespace consort::live
