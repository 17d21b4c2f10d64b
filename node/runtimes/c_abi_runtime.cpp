// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/c_abi_runtime.hpp"

#include "node/runtimes/host_link.hpp"

namespace consort::node {

c_abi_runtime::c_abi_runtime(boost::asio::io_context& io, c_abi_options options)
    : io_(io), options_(std::make_shared<const c_abi_options>(std::move(options))) {}

c_abi_runtime::~c_abi_runtime() {
  const std::lock_guard lock(mutex_);
  for (const auto& known : links_)
    if (const auto link = known.lock())
      link->abandon();
}

void c_abi_runtime::open(const session_request& wanted,
                         std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
                         std::function<void(error)> died) {
  auto link
      = std::make_shared<host_link>(io_, options_, wanted, std::move(opened), std::move(died));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(links_, [](const auto& known) { return known.expired(); });
    links_.push_back(link);
  }
  link->start();
}

} // namespace consort::node
