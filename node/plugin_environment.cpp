// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_environment.hpp"

#include "node/runtimes/c_abi_runtime.hpp"
#include "node/runtimes/server_runtime.hpp"

namespace consort::node {

namespace {

/// Host processes for plugins; each session is a process.
c_abi_factory make_factory(boost::asio::io_context& io, const std::string& executable) {
  return [&io, executable](const c_abi_spec& spec) -> std::unique_ptr<runtime> {
    c_abi_options options;
    options.executable = executable;
    options.library = spec.library;
    options.config_json = spec.config_json;
    options.memory_bytes = spec.memory_bytes;
    options.threads = spec.threads;
    options.sequences = spec.sequences;
    options.work_path = spec.work_path;
    options.capabilities = spec.capabilities;
    options.bounds.start_us = spec.start_timeout_us;
    for (const auto& [name, value] : spec.env)
      options.env.push_back(name + "=" + value);
    return std::make_unique<c_abi_runtime>(io, std::move(options));
  };
}

} // namespace

plugin_environment make_plugin_environment(boost::asio::io_context& io,
                                           const std::string& executable) {
  return {io, make_factory(io, executable),
          [&io](const server_spec& spec) { return std::make_unique<server_runtime>(io, spec); }};
}

} // namespace consort::node
