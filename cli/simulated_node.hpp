// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An agent whose devices are those of a scenario's node, in real time, and the fault menu that a
/// rehearsal writes for it: the file `troubles` in its data folder, read again whenever it changes.
/// Owned by the process; thread-safe.

#include "cli/config.hpp"
#include "cli/file_watch.hpp"
#include "node/simulated/runtime.hpp"

namespace consort::cli {

inline constexpr const char* troubles_file = "troubles";

class simulated_node {
public:
  /// Plays the node of that name in the scenario of `config.simulate`. Errors: what is wrong with
  /// the file, and `usage` when it has no such node. `io` outlives it.
  [[nodiscard]] static result<std::unique_ptr<simulated_node>>
  make(boost::asio::io_context& io, const cluster_config& config, const std::string& name);

  [[nodiscard]] std::unique_ptr<node::plugin> plugin() const;

private:
  explicit simulated_node(std::shared_ptr<node::simulated_runtime> devices);
  void look();

  std::shared_ptr<node::simulated_runtime> devices_;
  std::string path_;
  std::unique_ptr<file_watch> watch_;
};

} // namespace consort::cli
