// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_environment.hpp"

#include "node/runtimes/c_abi_runtime.hpp"
#include "node/runtimes/server_runtime.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>

namespace consort::node {

namespace {

/// What makes a runtime of the level `generate` out of one of the level `step`; beside our own.
std::string step_host(const std::string& executable) {
  const auto prefix = std::filesystem::path(executable).parent_path().parent_path();
  return (prefix / "lib" / "consort" / "libconsort-step.so").string();
}

std::string with_step_library(const c_abi_spec& spec) {
  auto config = nlohmann::json::parse(spec.config_json, nullptr, false);
  if (!config.is_object())
    return spec.config_json; // Refused where it is read.
  config["step_library"] = spec.library;
  return config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Host processes for plugins; each session is a process.
c_abi_factory make_factory(boost::asio::io_context& io, const std::string& executable) {
  return [&io, executable](const c_abi_spec& spec) -> std::unique_ptr<runtime> {
    c_abi_options options;
    options.executable = executable;
    options.library = spec.stepwise ? step_host(executable) : spec.library;
    options.vendor_library = spec.library;
    options.config_json = spec.stepwise ? with_step_library(spec) : spec.config_json;
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
                                           const std::string& executable, const std::string& owner,
                                           const price_table& prices,
                                           const std::string& state_path) {
  return {io,
          make_factory(io, executable),
          [&io](const server_spec& spec) { return std::make_unique<server_runtime>(io, spec); },
          executable,
          owner,
          prices,
          state_path};
}

} // namespace consort::node
