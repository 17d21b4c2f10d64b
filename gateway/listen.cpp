// SPDX-License-Identifier: Apache-2.0
#include "gateway/listen.hpp"

#include "links/address.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace consort::gateway {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr int listen_state = 0x0A; // TCP_LISTEN in /proc/net/tcp.

/// The socket inode that listens on `port` by one table of /proc/net; empty when none does.
std::string listening_inode(const char* table, std::uint16_t port) {
  std::ifstream in(table);
  std::string line;
  std::getline(in, line); // Titles.
  while (std::getline(in, line)) {
    // "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode"
    std::istringstream fields(line);
    std::string slot, local, remote, state, skip, inode;
    fields >> slot >> local >> remote >> state >> skip >> skip >> skip >> skip >> skip >> inode;
    const auto colon = local.rfind(':');
    unsigned found = 0;
    if (colon == std::string::npos
        || std::from_chars(local.data() + colon + 1, local.data() + local.size(), found, 16).ec
               != std::errc{})
      continue;
    if (found == port && std::strtol(state.c_str(), nullptr, 16) == listen_state)
      return inode;
  }
  return {};
}

bool holds_socket(const fs::path& process, const std::string& wanted) {
  std::error_code failed;
  for (fs::directory_iterator fd(process / "fd", failed), end; !failed && fd != end;
       fd.increment(failed)) {
    std::error_code unreadable;
    if (fs::read_symlink(fd->path(), unreadable) == wanted)
      return true;
  }
  return false;
}

std::string process_of(const std::string& inode) {
  const auto wanted = "socket:[" + inode + "]";
  std::error_code failed;
  for (fs::directory_iterator process("/proc", failed), end; !failed && process != end;
       process.increment(failed)) {
    const auto pid = process->path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })
        || !holds_socket(process->path(), wanted))
      continue;
    std::string name;
    std::getline(std::ifstream(process->path() / "comm") >> std::ws, name);
    return name + " (pid " + pid + ")";
  }
  return {};
}

error cannot(std::string code, std::string message) {
  return {recovery::refuse, std::move(code), std::move(message)};
}

error describe(boost::system::error_code failed, const server_config& config) {
  const auto where = links::format_address({config.host, config.port});
  if (failed != asio::error::address_in_use)
    return cannot("cannot_listen", "cannot listen on " + where + ": " + failed.message());
  const auto owner = who_listens_on(config.port);
  return cannot("port_in_use", "port " + std::to_string(config.port) + " of " + config.host
                                   + " is taken by " + (owner.empty() ? "another process" : owner)
                                   + "; stop it or choose another with --listen");
}

} // namespace

std::string who_listens_on(std::uint16_t port) {
  for (const auto* table : {"/proc/net/tcp", "/proc/net/tcp6"})
    if (const auto inode = listening_inode(table, port); !inode.empty())
      return process_of(inode);
  return {};
}

result<asio::ip::tcp::acceptor> listen_on(asio::any_io_executor executor,
                                          const server_config& config) {
  boost::system::error_code failed;
  const auto address
      = asio::ip::make_address(config.host == "localhost" ? "127.0.0.1" : config.host, failed);
  if (failed)
    return cannot("bad_address", "`" + config.host
                                     + "` is not an address to listen on; use e.g. "
                                       "127.0.0.1, ::1 or 0.0.0.0");
  if (!address.is_loopback() && !config.insecure)
    return cannot("address_unprotected",
                  "others could reach " + config.host
                      + " and nothing checks who they are; listen on 127.0.0.1, or pass "
                        "--insecure to accept that");
  const asio::ip::tcp::endpoint endpoint(address, config.port);
  asio::ip::tcp::acceptor acceptor(std::move(executor));
  acceptor.open(endpoint.protocol(), failed);
  if (!failed)
    acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed)
    acceptor.bind(endpoint, failed);
  if (!failed)
    acceptor.listen(config.limits.accept_queue, failed);
  if (failed)
    return describe(failed, config);
  return acceptor;
}

} // namespace consort::gateway
