// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Name lookups that nobody has to wait for. The system's own blocks and cannot be stopped, and
/// Asio's resolver makes all of a process wait behind one of them, and its end, too. Here each runs
/// on a thread of its own, which is left behind when nobody wants its answer any more: a name
/// service that hangs holds up neither other names nor the end of the process. At most
/// limits::lookups_max at once in a process; beyond, `host_not_found_try_again`. Used on one
/// strand.

#include "links/task.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <vector>

namespace consort::links {

struct found_host {
  boost::system::error_code failed; ///< Of Asio's netdb category, or `operation_aborted`.
  std::vector<boost::asio::ip::tcp::endpoint> ends;
};

/// Blocks; called on any thread.
using resolve_host = std::function<found_host(const std::string& host, std::uint16_t port)>;
/// The system's.
[[nodiscard]] found_host resolve_by_system(const std::string& host, std::uint16_t port);

class name_lookup {
public:
  explicit name_lookup(const boost::asio::any_io_executor& strand,
                       resolve_host resolve = resolve_by_system);

  /// Addresses are what they say; names are looked up. Requires: one at a time.
  task<found_host> find(const std::string& host, std::uint16_t port);
  /// Ends a find() under way with `operation_aborted`.
  void cancel();

private:
  struct answer;
  /// Nobody wants the answer once it is gone.
  class wish;

  boost::asio::steady_timer rung_;
  resolve_host resolve_;
  bool cancelled_ = false;
};

} // namespace consort::links
