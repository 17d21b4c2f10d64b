// SPDX-License-Identifier: Apache-2.0
// What a connection of a data port answers: streams of attempts, artifacts, refusals.
#include "node/data_port_connection.hpp"
#include "node/process_group.hpp"

#include <boost/asio/buffer.hpp>
#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace consort::node {

namespace asio = boost::asio;
using links::as_values;
using links::task;

namespace {

/// Counts one more for as long as it lives.
class counted {
public:
  explicit counted(std::atomic<std::size_t>& counter) : counter_(counter), before_(counter++) {}
  ~counted() { --counter_; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  [[nodiscard]] std::size_t before() const { return before_; }

private:
  std::atomic<std::size_t>& counter_;
  const std::size_t before_;
};

std::string_view header_of(const request_message& request, boost::beast::http::field name) {
  const auto value = request[name];
  return {value.data(), value.size()};
}

/// Reads until `into` is full. Returns: bytes read; less at the end of the file or on an error.
std::size_t read_at(int file, std::uint64_t offset, std::vector<char>& into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const auto got
        = ::pread(file, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got <= 0 && errno == EINTR && got != 0)
      continue;
    if (got <= 0)
      break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

} // namespace

// --- attempts ---

task<void> data_port_connection::serve_attempt(const request_message& request) {
  auto wanted = read_attempt_open(request.body());
  if (const auto* problem = std::get_if<refusal>(&wanted)) {
    slipped();
    shared_->complain(address_, problem->why.code, problem->why.message);
    co_await respond(*problem, false);
    co_return;
  }
  auto& open = std::get<messages::attempt_open>(wanted);
  const counted one(shared_->attempts_open);
  ++shared_->attempts;
  outbox_ = std::make_shared<attempt_outbox>(limits_.backlog_bytes, [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      asio::post(self->executor(), [self] { self->woken(); });
  });
  attempt_ = shared_->open(open.permission, std::move(open.body), outbox_);
  if (!attempt_)
    outbox_->on_event(attempt_aborted{
        {recovery::retry_elsewhere, "shutting_down", "this node is stopping"}, false});
  co_await stream_attempt();
  attempt_.reset();
  outbox_->close();
  if (outbox_->overflowed())
    ++shared_->overflowed;
  if (const auto code = outbox_->ticket_refusal(); !code.empty()) {
    if (code == "ticket_forged" || code == "ticket_used")
      refused(code, "a ticket that the scheduler did not give for this");
    else
      shared_->refused(code); // Fenced or late: that happens between peers in order.
    if (code == "ticket_forged")
      slipped();
  }
  outbox_.reset();
}

/// The head goes at once, with whatever is there by then.
task<void> data_port_connection::stream_attempt() {
  const auto text = render_stream_head(keep_alive_);
  const std::vector<char> head(text.begin(), text.end());
  bool reached = co_await write(head);
  stream_.keep_buffers(true);
  while (reached && !gone_ && (!outbox_->drained() || !unsent_.empty() || stream_.behind())) {
    if (pump()) {
      pumping_ = true;
      co_await changed_.wait(std::chrono::steady_clock::time_point::max());
      pumping_ = false;
      continue;
    }
    const auto rest = std::exchange(unsent_, {});
    reached = co_await write(rest);
  }
  stream_.keep_buffers(false);
  unsent_ = {};
  chunk_ = {};
}

/// Sends what the outbox has for as long as the kernel takes it at once. Returns: whether nothing
/// is left to do until the outbox wakes.
bool data_port_connection::pump() {
  while (!gone_ && unsent_.empty() && !stream_.behind()) {
    const auto frames = outbox_->take(chunk_);
    if (frames == 0)
      return !outbox_->drained();
    const auto [failed, size] = stream_.write_ready(asio::buffer(chunk_));
    gone_ = gone_ || failed;
    unsent_ = bytes(chunk_).subspan(size);
    shared_->frames += frames;
  }
  return false;
}

// --- artifacts ---

task<void> data_port_connection::serve_artifact(const request_message& request,
                                                const data_route& route) {
  const counted one(shared_->artifact_streams);
  if (one.before() >= limits_.artifact_streams) {
    const refusal busy{503,
                       {recovery::retry_later, "artifact_streams_full",
                        "this node sends as many artifacts as it may"}};
    co_await respond(busy, false);
    co_return;
  }
  const auto held = shared_->hold(route.content);
  if (!held) {
    const bool missing = held.failure().code == "artifact_missing";
    const refusal problem{missing ? 404U : 503U, held.failure()};
    co_await respond(problem, false);
    co_return;
  }
  co_await send_artifact(request, *held);
}

task<void> data_port_connection::serve_metrics() {
  const auto text = render_metrics(shared_->counted());
  const auto head = render_metrics_head(text.size(), keep_alive_);
  const auto whole = head + text;
  co_await write(whole);
}

task<void> data_port_connection::send_artifact(const request_message& request,
                                               const held_artifact& held) {
  const auto open = [path = held.path] {
    return std::make_shared<unique_fd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  };
  const auto file = co_await shared_->disk.run(open);
  if (!file || (*file)->get() < 0) {
    const refusal problem{503,
                          {recovery::retry_elsewhere, "artifact_unreadable",
                           "artifact " + held.record.content.value + " cannot be read"}};
    co_await respond(problem, false);
    co_return;
  }
  const auto condition = header_of(request, boost::beast::http::field::if_range);
  const bool same = condition.empty() || condition == "\"" + held.record.content.value + "\"";
  const auto asked = judge_range(same ? header_of(request, boost::beast::http::field::range) : "",
                                 held.record.size_bytes);
  const auto head = render_artifact_head(held.record, asked, keep_alive_);
  const bool told = co_await write(head);
  const bool head_only = request.method() == boost::beast::http::verb::head;
  if (told && !head_only && asked.range.size > 0)
    co_await send_file((*file)->get(), asked.range);
}

task<void> data_port_connection::send_file(int file, byte_range range) {
  auto piece = std::make_shared<std::vector<char>>();
  while (range.size > 0 && !gone_) {
    piece->resize(std::min<std::uint64_t>(range.size, limits::artifact_piece_bytes));
    co_await changed_.wait(shared_->pace.reserve(piece->size()));
    const auto read = [file, at = range.begin, piece] { return read_at(file, at, *piece); };
    const auto got = co_await shared_->disk.run(read);
    // A file that became shorter leaves the answer incomplete, which only an end can say.
    if (!got || *got < piece->size())
      gone_ = true;
    const bool reached = co_await write(*piece);
    if (!reached)
      break;
    shared_->artifact_bytes += piece->size();
    range.begin += piece->size();
    range.size -= piece->size();
  }
}

// --- sending ---

task<void> data_port_connection::respond(const refusal& problem, bool then_close) {
  shared_->refused(problem.why.code);
  spdlog::debug("data port: refused: {} {}: {}", problem.status, problem.why.code,
                problem.why.message);
  keep_alive_ = keep_alive_ && !then_close;
  const auto answer = render_refusal(problem, keep_alive_);
  const bool told = co_await write(answer);
  if (told && then_close)
    co_await linger();
}

/// Swallows what still comes: closing a socket with unread bytes would tear the answer away.
task<void> data_port_connection::linger() {
  boost::system::error_code failed;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, failed);
  limit_whole(limits_.linger);
  std::vector<char> waste(limits::artifact_piece_bytes);
  for (std::size_t total = 0; !failed && total < limits_.linger_bytes;) {
    const auto into = asio::buffer(waste);
    const auto [ended, size] = co_await stream_.async_read_some(into, as_values);
    failed = ended;
    total += size;
  }
}

/// Returns: whether all of it went. A peer that takes nothing for too long is cut.
task<bool> data_port_connection::write(bytes from) {
  while (stream_.behind() && !gone_) {
    limit_whole(limits_.stall);
    const auto [failed, none] = co_await stream_.async_flush(as_values);
    gone_ = gone_ || failed;
  }
  while (!from.empty() && !gone_) {
    limit_whole(limits_.stall);
    const auto piece = asio::buffer(from.data(), from.size());
    const auto [failed, size] = co_await stream_.async_write_some(piece, as_values);
    if (failed) {
      gone_ = true;
      break;
    }
    from = from.subspan(size);
  }
  deadline_.clear();
  co_return !gone_;
}

} // namespace consort::node
