// SPDX-License-Identifier: Apache-2.0
#include "node/attempt_outbox.hpp"

#include "messages/codec.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace consort::node {

namespace {

/// Eight hex digits and CRLF: leading zeros are allowed, so the head is written last, in place.
constexpr std::size_t chunk_head_bytes = 10;
constexpr std::string_view chunk_end = "\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";

void write_chunk_head(std::vector<char>& chunk) {
  auto size = chunk.size() - chunk_head_bytes;
  for (std::size_t at = 8; at-- > 0; size >>= 4U)
    chunk[at] = "0123456789abcdef"[size & 0xFU];
  chunk[8] = '\r';
  chunk[9] = '\n';
}

void append_text(std::vector<char>& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

bool terminal(const attempt_event& happened) {
  return std::holds_alternative<attempt_completed>(happened)
         || std::holds_alternative<attempt_aborted>(happened);
}

attempt_aborted too_slow(std::size_t bytes_max) {
  return {{recovery::retry_elsewhere, "reader_too_slow",
           "the stream was read too slowly: over " + std::to_string(bytes_max) + " bytes waited"},
          false};
}

/// The gate's own words only: what a runtime says becomes no label of a figure.
std::string ticket_code(const attempt_event& happened) {
  constexpr std::array words{
      "lease_expired",      "ticket_no_key",  "ticket_forged", "ticket_stale_incarnation",
      "ticket_stale_epoch", "ticket_expired", "ticket_used",   "ticket_memory_full"};
  const auto* aborted = std::get_if<attempt_aborted>(&happened);
  if (aborted == nullptr
      || std::find(words.begin(), words.end(), aborted->failure.code) == words.end())
    return {};
  return aborted->failure.code;
}

} // namespace

/// Requires: the lock. An event that cannot be encoded becomes the end that says so.
void attempt_outbox::append(const attempt_event& happened) {
  if (pending_.empty())
    pending_.resize(chunk_head_bytes);
  const auto payload = messages::encode(happened);
  const auto added
      = payload ? messages::append_frame(pending_, messages::frame_kind::attempt_event, *payload)
                : result<done>(payload.failure());
  if (!added) {
    ended_ = true;
    // An abort always fits: the encoder cuts its sentence.
    const auto abort = messages::encode(attempt_event(attempt_aborted{
        {recovery::retry_elsewhere, added.failure().code, added.failure().message}, true}));
    if (abort)
      (void)messages::append_frame(pending_, messages::frame_kind::attempt_event, *abort);
  }
  ++frames_;
}

std::string attempt_outbox::ticket_refusal() const {
  const std::lock_guard lock(mutex_);
  return ticket_refusal_;
}

void attempt_outbox::on_event(attempt_event happened) {
  std::shared_ptr<const waker> call;
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || !wake_)
      return;
    ended_ = terminal(happened);
    if (!ended_ && pending_.size() >= bytes_max_) {
      overflowed_ = ended_ = true;
      waiting_ = true; // Even in the middle of a write: the engine must be stopped now.
      happened = too_slow(bytes_max_);
    }
    if (!std::exchange(begun_, true))
      ticket_refusal_ = ticket_code(happened);
    append(happened);
    if (std::exchange(waiting_, false))
      call = wake_;
  }
  if (call)
    (*call)();
}

std::size_t attempt_outbox::take(std::vector<char>& chunk) {
  chunk.clear();
  const std::lock_guard lock(mutex_);
  if (frames_ == 0) {
    waiting_ = !ended_;
    return 0;
  }
  chunk.swap(pending_);
  write_chunk_head(chunk);
  append_text(chunk, chunk_end);
  if (ended_) {
    append_text(chunk, last_chunk);
    drained_ = true;
  }
  return std::exchange(frames_, 0);
}

bool attempt_outbox::drained() const {
  const std::lock_guard lock(mutex_);
  return drained_;
}

bool attempt_outbox::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

void attempt_outbox::close() {
  const std::lock_guard lock(mutex_);
  wake_ = nullptr;
  pending_ = {};
  frames_ = 0;
}

} // namespace consort::node
