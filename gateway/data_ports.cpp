// SPDX-License-Identifier: Apache-2.0
#include "gateway/data_ports.hpp"

#include "links/address.hpp"

namespace consort::gateway {

namespace {

/// Of an attempt that ended before it began.
class ended_stream final : public attempt_stream {
public:
  void cancel() override {}
};

} // namespace

data_ports::data_ports(boost::asio::io_context& io,
                       std::shared_ptr<const links::credentials> credentials,
                       limits::data_limit_set limits)
    : io_(io), credentials_(std::move(credentials)), limits_(limits) {}

data_ports::~data_ports() = default;

attempt_service* data_ports::find(const ticket& permission) {
  return permission.data_address.empty() ? nullptr : this;
}

std::unique_ptr<attempt_stream> data_ports::open(const ticket& permission, attempt_body body,
                                                 std::shared_ptr<attempt_sink> sink) {
  const auto refuse = [&](error why) {
    sink->on_event(attempt_aborted{
        .failure = std::move(why), .device_fault = false, .energy_mj = 0, .cost_micros = 0});
    return std::make_unique<ended_stream>();
  };
  if (const auto address = links::parse_address(permission.data_address); !address)
    return refuse({recovery::retry_elsewhere, "bad_address", address.failure().message});
  const auto client = client_of(permission.data_address);
  if (!client)
    return refuse({recovery::retry_later, "too_many_nodes",
                   "this gateway speaks to as many nodes as it may"});
  return client->open(permission, std::move(body), std::move(sink));
}

std::shared_ptr<data_port_client> data_ports::client_of(const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (const auto found = clients_.find(address); found != clients_.end())
    return found->second;
  forget_idle();
  if (clients_.size() >= limits_.ports)
    return nullptr;
  return clients_
      .emplace(address, std::make_shared<data_port_client>(io_, address, credentials_, limits_))
      .first->second;
}

/// When a new node comes is soon enough: the old ones hold only what their idle time allows.
void data_ports::forget_idle() {
  std::erase_if(clients_, [&](const auto& one) { return one.second->idle_for(limits_.forget); });
}

std::size_t data_ports::size() const {
  const std::lock_guard lock(mutex_);
  return clients_.size();
}

} // namespace consort::gateway
