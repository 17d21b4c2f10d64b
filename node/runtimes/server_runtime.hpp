// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The runtime behind a vendor's model server: one server process per session, or a server that
/// runs already. Owned by the plugin that brings it. Invariants as in c_abi_runtime.hpp.

#include "node/server_spec.hpp"

#include <boost/asio/io_context.hpp>

#include <mutex>

namespace consort::node {

class container_keeper;
class server_link;

class server_runtime final : public runtime {
public:
  /// `io` must outlive the runtime.
  server_runtime(boost::asio::io_context& io, server_spec spec);
  /// Ends every server that it started.
  ~server_runtime() override;
  server_runtime(const server_runtime&) = delete;
  server_runtime& operator=(const server_runtime&) = delete;

  void open(const session_request& wanted,
            std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
            std::function<void(error)> died) override;
  [[nodiscard]] std::uint64_t cache_bytes_max() const override { return spec_->cache_bytes_max; }
  void abandon(instance_id instance) override;

private:
  boost::asio::io_context& io_;
  const std::shared_ptr<const server_spec> spec_;
  const std::shared_ptr<container_keeper> containers_; ///< Null where there are none.
  std::mutex mutex_;
  std::vector<std::weak_ptr<server_link>> links_;
};

} // namespace consort::node
