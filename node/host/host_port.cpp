// SPDX-License-Identifier: Apache-2.0
#include "node/host/host_port.hpp"

#include "node/host/limits.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace consort::node {

namespace {

/// No destructors, no exit handlers: the vendor's threads may be anywhere.
[[noreturn]] void leave(int status) {
  ::_exit(status);
}

/// By no stream: a thread of the vendor's may hold its lock for good.
void say(const std::string& why) {
  ::dprintf(STDERR_FILENO, "consort host: %s\n", why.c_str());
}

[[noreturn]] void leave(int status, const error& why) {
  say(why.message);
  leave(status);
}

time_us host_now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

} // namespace

host_port::host_port(int socket_fd, const host_bounds& bounds)
    : fd_(socket_fd), bounds_(bounds), calls_(bounds.call_us) {}

bool host_port::start() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd_, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
    return false;
  // The vendor's helpers must not hold the socket, or its end would not be seen.
  if (::fcntl(fd_, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd_, F_SETFL, O_NONBLOCK) != 0)
    return false;
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0)
    return false;
  try {
    std::thread([this] { run(); }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

messages::host_command host_port::next() {
  std::unique_lock lock(mutex_);
  serving_ = false;
  arrived_.wait(lock, [&] { return !commands_.empty(); });
  serving_ = true;
  auto command = std::move(commands_.front());
  commands_.pop_front();
  // The reader paused; one command less is the moment to go on.
  const bool was_full
      = commands_.size() + 1 >= bounds_.calls_max || command_bytes_ >= bounds_.unsent_bytes_max;
  command_bytes_ -= command.second;
  lock.unlock();
  if (was_full)
    wake();
  return std::move(command.first);
}

void host_port::send(const messages::host_report& report) {
  const auto payload = messages::encode(report);
  if (!payload)
    leave(host_exit_vendor, payload.failure());
  const auto frame = messages::write_frame(messages::frame_kind::host_report, *payload);
  if (!frame)
    leave(host_exit_vendor, frame.failure());
  std::unique_lock lock(mutex_);
  if (!room_.wait_for(lock, std::chrono::microseconds(bounds_.stall_us),
                      [&] { return queued_.size() < bounds_.unsent_bytes_max; }))
    leave(host_exit_stalled);
  const auto gone = write_now(*frame);
  if (gone == frame->size())
    return;
  queued_.insert(queued_.end(), frame->begin() + static_cast<std::ptrdiff_t>(gone), frame->end());
  const bool first = !std::exchange(woken_, true);
  lock.unlock();
  if (first)
    wake();
}

/// The first report of an engine step leaves from the engine's own thread, which saves the token a
/// thread switch (40 us and more); those right behind it are gathered by the I/O thread meanwhile.
/// Requires: mutex_ is held. Returns: the bytes written.
std::size_t host_port::write_now(const std::vector<char>& frame) {
  const auto now = std::chrono::steady_clock::now();
  const bool quiet = now - wrote_at_ >= std::chrono::microseconds(limits::host_burst_us);
  if (!idle_ || !queued_.empty() || !quiet)
    return 0;
  wrote_at_ = now;
  const auto sent = ::send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  // Whatever went wrong, the I/O thread will meet it again.
  return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

void host_port::begin_call(const char* name, call_watch::counts which) {
  calls_.begin(name, which, host_now_us());
}

void host_port::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  wake();
  for (;;)
    ::pause();
}

void host_port::wake() {
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then the thread is awake anyway.
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void host_port::run() {
  for (;;) {
    await_work();
    write_some();
  }
}

/// Reads what comes. While the vendor's object may be in a call it comes back in time to look.
void host_port::await_work() {
  const bool in_call = look_at_call();
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    full = commands_.size() >= bounds_.calls_max || command_bytes_ >= bounds_.unsent_bytes_max;
  }
  const auto wanted = (full ? 0 : POLLIN) | (left_ < leaving_.size() ? POLLOUT : 0);
  std::array<pollfd, 2> watched{{{fd_, static_cast<short>(wanted), 0}, {wake_fd_, POLLIN, 0}}};
  const auto look_ms = static_cast<int>(std::max<duration_us>(bounds_.call_us / 4 / 1'000, 1));
  if (::poll(watched.data(), watched.size(), in_call ? look_ms : -1) < 0 && errno != EINTR)
    leave(host_exit_setup);
  if ((watched[1].revents & POLLIN) != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
  }
  if ((watched[0].revents & POLLIN) != 0)
    read_some();
  else if ((watched[0].revents & (POLLHUP | POLLERR)) != 0)
    leave(host_exit_closed);
}

/// Ends the process when a call that is to be quick is hung. Returns: whether one may be in
/// progress; commands come by this thread alone, so that none begins while it waits without end.
bool host_port::look_at_call() {
  bool in_call = false, choked = false;
  {
    const std::lock_guard lock(mutex_);
    in_call = serving_ || !commands_.empty();
    // A call may wait for a thread of the vendor's that waits for the agent to read.
    choked = queued_.size() >= bounds_.unsent_bytes_max;
  }
  const char* const hung = in_call ? calls_.look(host_now_us(), choked) : nullptr;
  if (hung == nullptr)
    return in_call;
  say("the runtime's `" + std::string(hung) + "` has not returned for "
      + format_duration(bounds_.call_us) + ", which is to return at once");
  // The agent hears of it now, though a thread that is stuck in a driver may keep the process.
  ::shutdown(fd_, SHUT_RDWR);
  leave(host_exit_hung);
}

void host_port::read_some() {
  static std::array<char, limits::read_chunk_bytes> buffer;
  const auto got = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
    leave(host_exit_closed);
  if (got < 0)
    return;
  reader_.feed({buffer.data(), static_cast<std::size_t>(got)});
  take_frames();
}

void host_port::take_frames() {
  for (;;) {
    auto frame = reader_.next();
    if (!frame)
      leave(host_exit_protocol, frame.failure());
    if (!*frame)
      return;
    if ((*frame)->kind != messages::frame_kind::host_command)
      leave(host_exit_protocol);
    auto command = messages::decode_host_command((*frame)->payload);
    if (!command)
      leave(host_exit_protocol, command.failure());
    const auto bytes = (*frame)->payload.size();
    {
      const std::lock_guard lock(mutex_);
      command_bytes_ += bytes;
      commands_.emplace_back(std::move(*command), bytes);
    }
    arrived_.notify_one();
  }
}

void host_port::write_some() {
  for (;;) {
    if (left_ == leaving_.size()) {
      leaving_.clear();
      left_ = 0;
      const std::lock_guard lock(mutex_);
      woken_ = false;
      std::swap(leaving_, queued_);
      idle_ = leaving_.empty();
      if (leaving_.empty() && finishing_)
        leave(host_exit_closed);
      if (leaving_.empty())
        return;
      room_.notify_all();
    }
    const auto sent = ::send(fd_, leaving_.data() + left_, leaving_.size() - left_,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0 && errno == EAGAIN)
      return;
    if (sent < 0)
      leave(host_exit_closed);
    left_ += static_cast<std::size_t>(sent);
  }
}

} // namespace consort::node
