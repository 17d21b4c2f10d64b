// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/rank_link.hpp"

#include "node/plugins/reference/limits.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace consort::reference {
namespace {

using address_list = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

error link_failed(const std::string& what) {
  return {recovery::retry_elsewhere, "rank_gone", what + ": " + std::strerror(errno)};
}

result<address_list> look_up(const std::string& master, bool to_bind) {
  const auto colon = master.rfind(':');
  auto host = master.substr(0, colon);
  const auto port = colon == std::string::npos ? std::string() : master.substr(colon + 1);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const bool loopback = host == "127.0.0.1" || host == "::1" || host == "localhost";
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = to_bind ? AI_PASSIVE : 0;
  addrinfo* found = nullptr;
  const char* name = to_bind && !loopback ? nullptr : host.c_str();
  if (const int failed = getaddrinfo(name, port.c_str(), &wanted, &found); failed != 0)
    return error{recovery::retry_elsewhere, "rank_gone",
                 "cannot find " + master + ": " + gai_strerror(failed)};
  return address_list(found, &freeaddrinfo);
}

/// Small frames go at once: every step waits for them.
void hurry(int socket) {
  const int on = 1;
  (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool wait_for(int socket, short what, int wait_ms) {
  pollfd watched{socket, what, 0};
  int ready = 0;
  do
    ready = poll(&watched, 1, wait_ms);
  while (ready < 0 && errno == EINTR);
  if (ready == 0)
    errno = ETIMEDOUT;
  return ready > 0;
}

} // namespace

std::pair<std::size_t, std::size_t> words_of(std::uint32_t shard, std::uint32_t degree,
                                             std::size_t words) {
  return {words * shard / degree, words * (shard + 1) / degree};
}

rank_link::~rank_link() {
  if (socket_ >= 0)
    close(socket_);
}

result<std::pair<rank_link, rank_link>> rank_link::pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return link_failed("cannot link two devices");
  return std::pair{rank_link(ends[0]), rank_link(ends[1])};
}

result<rank_link> rank_link::dial(const std::string& master) {
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::milliseconds(limits::rank_meet_ms);
  for (;;) {
    const auto found = look_up(master, false);
    if (!found)
      return found.failure();
    rank_link made(socket((*found)->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (made.socket_ >= 0 && connect(made.socket_, (*found)->ai_addr, (*found)->ai_addrlen) == 0) {
      hurry(made.socket_);
      return made;
    }
    if (std::chrono::steady_clock::now() >= until)
      return link_failed("no leader at " + master);
    std::this_thread::sleep_for(std::chrono::milliseconds(limits::rank_redial_ms));
  }
}

result<done> rank_link::send(rank_frame kind, const void* bytes, std::size_t count) {
  const std::uint32_t head[2]
      = {static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(count)};
  std::vector<char> whole(sizeof head + count);
  std::memcpy(whole.data(), head, sizeof head);
  if (count > 0)
    std::memcpy(whole.data() + sizeof head, bytes, count);
  for (std::size_t sent = 0; sent < whole.size();) {
    if (!wait_for(socket_, POLLOUT, limits::rank_step_ms))
      return link_failed("a rank takes nothing");
    const auto now
        = ::send(socket_, whole.data() + sent, whole.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (now < 0 && errno != EAGAIN && errno != EINTR)
      return link_failed("a rank is gone");
    sent += now > 0 ? static_cast<std::size_t>(now) : 0;
  }
  return done{};
}

result<done> rank_link::read_exactly(char* into, std::size_t bytes, int wait_ms) {
  for (std::size_t read = 0; read < bytes;) {
    if (!wait_for(socket_, POLLIN, wait_ms))
      return link_failed("a rank says nothing");
    const auto now = recv(socket_, into + read, bytes - read, MSG_DONTWAIT);
    if (now == 0)
      return error{recovery::retry_elsewhere, "rank_gone", "a rank is gone: its link was closed"};
    if (now < 0 && errno != EAGAIN && errno != EINTR)
      return link_failed("a rank is gone");
    read += now > 0 ? static_cast<std::size_t>(now) : 0;
  }
  return done{};
}

result<rank_link::frame> rank_link::receive(int wait_ms) {
  std::uint32_t head[2];
  if (const auto got = read_exactly(reinterpret_cast<char*>(head), sizeof head, wait_ms); !got)
    return got.failure();
  const bool known = head[0] >= static_cast<std::uint32_t>(rank_frame::hello)
                     && head[0] <= static_cast<std::uint32_t>(rank_frame::forget_all);
  if (!known || head[1] > limits::rank_frame_bytes_max)
    return error{recovery::retry_elsewhere, "rank_gone",
                 "what dialled is no rank: frame " + std::to_string(head[0]) + " of "
                     + std::to_string(head[1]) + " bytes"};
  frame made{static_cast<rank_frame>(head[0]), std::vector<char>(head[1])};
  if (const auto got = read_exactly(made.bytes.data(), made.bytes.size(), limits::rank_step_ms);
      !got)
    return got.failure();
  return made;
}

void rank_link::shut() {
  (void)shutdown(socket_, SHUT_RDWR);
}

result<rank_door> rank_door::open(const std::string& master) {
  const auto found = look_up(master, true);
  if (!found)
    return found.failure();
  rank_door made(socket((*found)->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)setsockopt(made.socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (made.socket_ < 0 || bind(made.socket_, (*found)->ai_addr, (*found)->ai_addrlen) != 0
      || listen(made.socket_, limits::rank_backlog) != 0)
    return link_failed("cannot meet the other ranks at " + master);
  return made;
}

rank_door::~rank_door() {
  if (socket_ >= 0)
    close(socket_);
}

result<rank_link> rank_door::accept(int wait_ms) {
  if (!wait_for(socket_, POLLIN, wait_ms))
    return link_failed("not every rank came");
  rank_link made(accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC));
  hurry(made.socket_);
  return made;
}

} // namespace consort::reference
