// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The attempt service behind one data port elsewhere: HTTP/1.1 exchanges over mutual TLS, or plain
/// to loopback, on pooled connections that are kept alive. Every way in which a connection can fail
/// becomes an `attempt_aborted` at once, so that the next ticket can be asked for.
///
/// Does not watch over silence: a node that stops speaking is the core's to notice, which then
/// drops the attempt and with it the connection. Thread-safe; runs on the io_context's threads.

#include "gateway/limits.hpp"
#include "links/credentials.hpp"
#include "messages/attempt_service.hpp"

#include <boost/asio/io_context.hpp>

namespace consort::gateway {

struct data_client_counters {
  std::uint64_t dialled = 0; ///< Connections begun since the start.
  std::uint64_t reused = 0;  ///< Attempts that found one kept alive.
  std::size_t idle = 0;      ///< Now.
  std::size_t open = 0;      ///< Attempts now.
};

class data_port_client final : public attempt_service {
public:
  /// `address` is the `host:port` of tickets. `io` must outlive it; null credentials = no TLS.
  data_port_client(boost::asio::io_context& io, std::string address,
                   std::shared_ptr<const links::credentials> credentials,
                   limits::data_limit_set limits = {});
  /// Ends what is open with `data_link_lost`; streams may outlive it.
  ~data_port_client() override;
  data_port_client(const data_port_client&) = delete;
  data_port_client& operator=(const data_port_client&) = delete;

  /// Beside what the node says, ends with: `node_unreachable`, `wrong_node` (the certificate names
  /// another), `data_link_lost` (retry elsewhere, the device's fault); `data_port_busy` (retry
  /// later, nobody's fault); `bad_frame` and other refusals to encode. The sink is called on
  /// threads of the io_context, or within open(). Destroying a stream waits for a delivery in
  /// progress on another thread, as in one process.
  std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                       std::shared_ptr<attempt_sink> sink) override;

  [[nodiscard]] data_client_counters counters() const;
  /// Nothing open and nothing opened for that long.
  [[nodiscard]] bool idle_for(duration_us span) const;

private:
  std::shared_ptr<struct data_pool> pool_;
};

} // namespace consort::gateway
