// SPDX-License-Identifier: Apache-2.0
// What a data port's answers mean: a stream of frames, or a refusal in JSON.
#include "gateway/data_connection.hpp"
#include "messages/codec.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::gateway {

namespace http = boost::beast::http;

namespace {

error broken(const error& why) {
  return {recovery::retry_elsewhere, why.code, "the data port's answer is broken: " + why.message};
}

error broken_http(const std::string& what) {
  return broken({recovery::refuse, "bad_answer", what});
}

recovery action_of(const std::string& word) {
  if (word == "refuse")
    return recovery::refuse;
  return word == "retry_later" ? recovery::retry_later : recovery::retry_elsewhere;
}

/// The error in a refusal's body; made up from the status when there is none.
error read_refusal(unsigned status, const std::string& body) {
  error out{status == 503 ? recovery::retry_later : recovery::retry_elsewhere, "data_port_refused",
            "the data port answered with status " + std::to_string(status)};
  const auto document = nlohmann::json::parse(body, nullptr, false);
  if (!document.is_object() || !document.contains("error") || !document["error"].is_object())
    return out;
  const auto& said = document["error"];
  const auto text = [&](const char* name) {
    const auto found = said.find(name);
    return found != said.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (const auto code = text("code"); !code.empty() && code.size() <= 64)
    out.code = code;
  out.message += ": " + text("message");
  out.action = action_of(text("action"));
  return out;
}

} // namespace

std::size_t data_connection::consume(bytes arrived) {
  std::size_t done = 0;
  while (done < arrived.size() && phase_ != phase::ended) {
    const auto rest = arrived.subspan(done);
    std::size_t taken = 0;
    switch (phase_) {
    case phase::head: taken = consume_head(rest); break;
    case phase::refusal: taken = consume_refusal(rest); break;
    case phase::events:
    case phase::tail: taken = consume_events(rest); break;
    default: lost(broken_http("bytes that nobody asked for"), true); break;
    }
    if (taken == 0)
      break;
    done += taken;
  }
  return done;
}

std::size_t data_connection::consume_head(bytes arrived) {
  boost::system::error_code failed;
  const auto taken = head_->put(boost::asio::const_buffer(arrived.data(), arrived.size()), failed);
  if (failed == http::error::need_more)
    return taken;
  if (failed) {
    lost(broken_http(failed.message()), true);
    return 0;
  }
  if (!head_->is_header_done())
    return taken;
  const auto& answer = head_->get();
  keep_alive_ = head_->keep_alive();
  if (answer.result_int() == 200 && head_->chunked()) {
    phase_ = phase::events;
    deadline_.clear();
    return taken;
  }
  keep_alive_ = false; // A refusal is rare; whatever caused it shall not linger.
  phase_ = phase::refusal;
  refusal_left_ = std::min<std::uint64_t>(head_->content_length().value_or(0),
                                          limits::data_refusal_bytes_max);
  if (refusal_left_ == 0)
    lost(read_refusal(answer.result_int(), {}), false);
  return taken;
}

std::size_t data_connection::consume_refusal(bytes arrived) {
  const auto size = std::min<std::uint64_t>(refusal_left_, arrived.size());
  refusal_.append(arrived.data(), size);
  refusal_left_ -= size;
  if (refusal_left_ == 0)
    lost(read_refusal(head_->get().result_int(), refusal_), false);
  return size;
}

std::size_t data_connection::consume_events(bytes arrived) {
  const auto portion = chunks_.take(arrived);
  if (!portion) {
    lost(broken(portion.failure()), true);
    return 0;
  }
  if (!portion->content.empty()) {
    frames_.feed(portion->content);
    take_frames();
  }
  if (phase_ == phase::ended || !chunks_.ended())
    return portion->taken;
  if (phase_ == phase::events)
    lost(broken_http("it ends before its attempt"), true);
  else
    finish_exchange();
  return portion->taken;
}

void data_connection::take_frames() {
  while (phase_ == phase::events) {
    auto frame = frames_.next();
    if (!frame)
      return lost(broken(frame.failure()), true);
    if (!*frame)
      return;
    auto happened = messages::decode_attempt_event((*frame)->payload);
    if (!happened)
      return lost(broken(happened.failure()), true);
    const bool device_sends_on = !std::holds_alternative<attempt_completed>(*happened)
                                 && !std::holds_alternative<attempt_aborted>(*happened);
    if (!device_sends_on) {
      phase_ = phase::tail;
      deadline_.set(pool_->limits.tail);
    }
    call_->deliver(*std::move(happened));
  }
  if (phase_ == phase::tail && frames_.buffered() > 0)
    lost(broken_http("it goes on after its attempt"), true);
}

} // namespace consort::gateway
