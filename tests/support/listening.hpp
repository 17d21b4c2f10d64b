// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the kernel knows of listening sockets of this process: how many connections may wait there
/// for accept(), and how many bytes of one connection nobody has read yet.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>

namespace consort::kernel {

/// The longest queue that the kernel grants to anybody who asks for `wanted`.
inline int granted_backlog(int wanted) {
  int most = std::numeric_limits<int>::max();
  std::ifstream("/proc/sys/net/core/somaxconn") >> most;
  return std::min(wanted, most);
}

/// Length of the accept queue of the IPv4 socket of this process that listens on `port`; -1 = none.
inline int backlog_of(std::uint16_t port) {
  constexpr int descriptors_max = 1'024;
  for (int file = 0; file < descriptors_max; ++file) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
      continue;
    sockaddr_in bound{};
    size = sizeof bound;
    ::getsockname(file, reinterpret_cast<sockaddr*>(&bound), &size);
    tcp_info known{};
    size = sizeof known;
    if (bound.sin_port == htons(port)
        && ::getsockopt(file, IPPROTO_TCP, TCP_INFO, &known, &size) == 0)
      return static_cast<int>(known.tcpi_sacked); // Of a listener: the bound of its queue.
  }
  return -1;
}

/// Bytes that came from `theirs` to `ours` (both on 127.0.0.1) and wait in the kernel; -1 = no such
/// connection.
inline std::int64_t unread_bytes(std::uint16_t ours, std::uint16_t theirs) {
  const auto end = [](std::uint16_t port) {
    std::ostringstream out;
    out << "0100007F:" << std::uppercase << std::hex << std::setw(4) << std::setfill('0') << port;
    return out.str();
  };
  std::ifstream table("/proc/net/tcp");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues;
    fields >> number >> local >> remote >> state >> queues;
    if (local == end(ours) && remote == end(theirs))
      return std::stoll(queues.substr(queues.find(':') + 1), nullptr, 16);
  }
  return -1;
}

} // namespace consort::kernel
