// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_runtime.hpp"

#include "node/runtimes/server_link.hpp"

namespace consort::node {

const std::vector<std::string>& server_placeholders() {
  static const std::vector<std::string> names{
      "artifact",  "cache",      "context",       "devices",      "index", "indexes",
      "master",    "masterhost", "masterport",    "memory_share", "model", "name",
      "partition", "places",     "plugin",        "port",         "rank",  "ranks",
      "sequences", "slots",      "slots_context", "tp",           "uuid",  "weights"};
  return names;
}

server_runtime::server_runtime(boost::asio::io_context& io, server_spec spec)
    : io_(io),
      spec_(std::make_shared<const server_spec>(std::move(spec))),
      containers_(spec_->container
                      ? std::make_shared<container_keeper>(*spec_->container, spec_->work_path)
                      : nullptr) {}

server_runtime::~server_runtime() {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& known : links_)
      if (const auto link = known.lock())
        link->close();
  }
  if (containers_) // They would go on without us.
    containers_->finish();
}

void server_runtime::abandon(instance_id instance) {
  const std::lock_guard lock(mutex_);
  for (const auto& known : links_)
    if (const auto link = known.lock(); link && link->instance() == instance)
      link->give_up();
}

void server_runtime::open(const session_request& wanted,
                          std::function<void(result<std::shared_ptr<runtime_session>>)> opened,
                          std::function<void(error)> died) {
  auto link = std::make_shared<server_link>(io_, spec_, containers_, wanted, std::move(opened),
                                            std::move(died));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(links_, [](const auto& known) { return known.expired(); });
    links_.push_back(link);
  }
  link->start();
}

} // namespace consort::node
