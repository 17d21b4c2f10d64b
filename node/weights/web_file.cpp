// SPDX-License-Identifier: Apache-2.0
#include "node/weights/web_file.hpp"

#include "node/byte_range.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace consort::node {

namespace {

std::uint64_t number_of(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Worth another try at the same place.
bool passing(const error& why) {
  return why.code == "web_unreachable" || why.code == "web_broken" || why.code == "weights_busy";
}

} // namespace

void fetch_stop::stop() {
  const std::scoped_lock lock(guard_);
  stopped_ = true;
  ended_.notify_all();
}

bool fetch_stop::pause_for(duration_us span) {
  std::unique_lock lock(guard_);
  return !ended_.wait_for(lock, std::chrono::microseconds(span), [this] { return bool(stopped_); });
}

std::string web_file::text() const {
  return source_.what == weight_source::kind::hub ? source_.text() : source_.url;
}

std::optional<error> web_file::fetch(partial_file& file) {
  file_ = &file;
  total_ = 0;
  std::size_t vain = 0;
  bool once_more = true;
  for (;;) {
    const auto had = file_->size();
    retry_after_us_ = 0;
    cleared_ = false;
    auto problem = fetch_rest();
    if (!problem && file_->size() == total_)
      return std::nullopt;
    if (!problem)
      problem = error{recovery::retry_later, "web_broken",
                      text() + ": came as " + std::to_string(file_->size()) + " bytes of "
                          + std::to_string(total_)};
    // What it left off at was wrong, not its server: that is no try in vain, but only once.
    if (cleared_ && std::exchange(once_more, false))
      continue;
    vain = file_->size() > had ? 0 : vain + 1;
    if (!passing(*problem) || vain >= hub_.limits.tries) {
      if (retry_after_us_ > 0 && watch_.left_alone)
        watch_.left_alone(retry_after_us_);
      return problem;
    }
    const auto pause
        = std::max(hub_.limits.backoff << std::min<std::size_t>(vain, 8), retry_after_us_);
    if (!stop_.pause_for(pause))
      return error{recovery::retry_later, "web_stopped", "reading was stopped"};
  }
}

std::optional<error> web_file::fetch_rest() {
  auto ask = request_for(source_, hub_);
  if (!ask)
    return ask.failure();
  ask->from = file_->size();
  if (ask->from > 0)
    ask->etag = etag_;
  bool begun = false;
  const auto answer
      = web_exchange(*ask, {hub_.authorities, hub_.limits, &stop_.flag()},
                     [&](const web_head& head, std::string_view piece) -> outcome {
                       if (head.status >= 300)
                         return std::nullopt; // Judged below; what it says is of no use.
                       auto problem = begun ? outcome() : begin(head, piece);
                       begun = true;
                       return problem ? problem : take(piece);
                     });
  if (!answer)
    return answer.failure();
  if (answer->status == 416) // What is there is whole, or longer than what there is.
    return was_whole(answer->header("content-range")) ? outcome() : restart();
  if (answer->status == 200 || answer->status == 206)
    return std::nullopt;
  return judge_status(*answer, source_, hub_, &retry_after_us_);
}

/// Another process may have been ended between the last byte and the store.
bool web_file::was_whole(const std::string& said) {
  const auto size = "bytes */" + std::to_string(file_->size());
  total_ = said == size ? file_->size() : 0;
  return said == size;
}

std::optional<error> web_file::restart() {
  if (const auto cleared = file_->clear(); !cleared)
    return cleared.failure();
  cleared_ = true;
  return error{recovery::retry_later, "web_broken", text() + ": begun again"};
}

/// The first bytes of an answer: whether it goes on where we are, and whether it will fit.
std::optional<error> web_file::begin(const web_head& head, std::string_view piece) {
  const auto part = parse_content_range(head.header("content-range"));
  if (head.status == 206 && (!part || part->range.begin != file_->size()))
    return restart();
  if (head.status == 200 && file_->size() > 0)
    if (const auto cleared = file_->clear(); !cleared)
      return cleared.failure();
  if (file_->size() == 0 && piece.starts_with('<'))
    return error{recovery::retry_later, "weights_refused",
                 head.url.authority() + " answered with a page, not with the file"};
  total_ = part ? part->size_bytes : number_of(head.header("content-length"));
  etag_ = head.header("etag").starts_with("W/") ? "" : head.header("etag");
  if (total_ == 0 || total_ > limits::weights_bytes_max)
    return error{recovery::refuse, "weights_refused", text() + ": of no known length, or too long"};
  if (const auto room = watch_.room(total_ - std::min(total_, file_->size())); !room)
    return room.failure();
  return std::nullopt;
}

std::optional<error> web_file::take(std::string_view piece) {
  if (piece.size() > total_ - std::min(total_, file_->size()))
    return restart();
  if (const auto written = file_->append(piece); !written)
    return written.failure();
  watch_.progress(file_->size(), total_);
  return std::nullopt;
}

} // namespace consort::node
