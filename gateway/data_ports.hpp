// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The data ports of all nodes as one service: finds the client of a ticket's address, makes it
/// when it is new, and lets go of those that nobody used for a while. Bounded by
/// limits::data_ports_max; thread-safe.

#include "gateway/data_port_client.hpp"

#include <map>
#include <mutex>

namespace consort::gateway {

class data_ports final : public attempt_service {
public:
  /// `io` must outlive it; null credentials = no TLS.
  data_ports(boost::asio::io_context& io, std::shared_ptr<const links::credentials> credentials,
             limits::data_limit_set limits = {});
  ~data_ports() override;

  /// For an attempt_resolver. Returns: this, or null when the ticket has no address.
  [[nodiscard]] attempt_service* find(const ticket& permission);

  /// As data_port_client::open at the ticket's address; also `bad_address` and `too_many_nodes`.
  std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                       std::shared_ptr<attempt_sink> sink) override;

  /// Clients that exist now.
  [[nodiscard]] std::size_t size() const;

private:
  [[nodiscard]] std::shared_ptr<data_port_client> client_of(const std::string& address);
  void forget_idle();

  boost::asio::io_context& io_;
  const std::shared_ptr<const links::credentials> credentials_;
  const limits::data_limit_set limits_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<data_port_client>> clients_;
};

} // namespace consort::gateway
