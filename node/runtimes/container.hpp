// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Model servers in containers of docker or podman, as plugin.json's `runtime.container` says. The
/// command line is made of the plugin's own words and the agent's; what whoever declares a model
/// chose stands behind the image, where the server's own arguments are.
///
/// A container does not die with the program that started it. So its name follows from the
/// instance, its labels say whose it is, and it is removed when the instance goes, when the runtime
/// does, and by the next life of an agent that was killed.

#include "links/task.hpp"
#include "node/child_process.hpp"
#include "node/server_spec.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <mutex>
#include <set>

namespace consort::node {

/// What an agent marks its containers with: a word that is its own on this host, in every life.
[[nodiscard]] std::string container_owner(const node_id& name, const std::string& data_path);

/// Removes every container of that owner; blocks for a few calls of the engine. Requires: nothing
/// of the owner's runs that is to stay. Returns: how many there were.
[[nodiscard]] result<std::size_t>
remove_orphans(const std::string& engine, const std::string& folder, const std::string& owner);

/// The same until two looks a moment apart find none: the daemon of an engine whose program was
/// killed may make one yet. Blocks for `patience_us`, and one look more. Errors: that some may be
/// left, with what to do; never for an engine that is not here.
[[nodiscard]] result<done> remove_until_gone(const std::string& engine, const std::string& folder,
                                             const std::string& owner, duration_us patience_us);

/// What a trial marks its containers with: this process' own word.
[[nodiscard]] std::string trial_owner();

/// What runs in one container.
struct container_order {
  std::string name;
  instance_id instance;
  std::string plugin;
  std::uint16_t port = 0;
  std::uint64_t memory_bytes = 0;    ///< 0 = no limit.
  std::vector<std::string> mounts;   ///< Paths of ours that it reads, at the same place inside.
  std::string written;               ///< The same for one that it writes; empty = none.
  std::vector<std::string> settings; ///< Names of variables that it gets from the engine's own.
  std::vector<std::string> command;  ///< Inside.
};

/// The engine's arguments. `arguments` of the rule have had their placeholders replaced. Errors
/// (refuse): `container_path` for a path that the engine's syntax cannot hold.
[[nodiscard]] result<std::vector<std::string>>
run_command(const container_rule& rule, const std::vector<std::string>& arguments,
            const container_order& wanted);

/// What an engine's answer about an image means.
enum class image_state : std::uint8_t { there, missing, unknown };
[[nodiscard]] image_state judge_image(const child_exit& answer);

/// Knows which containers of one runtime there are, and sees to it that they go. Thread-safe.
class container_keeper {
public:
  /// `folder`: where the engine is looked for before PATH.
  container_keeper(container_rule rule, std::string folder);
  ~container_keeper();
  container_keeper(const container_keeper&) = delete;
  container_keeper& operator=(const container_keeper&) = delete;

  /// A name for the instance's container, which no other of this life has. From now on there may be
  /// one.
  [[nodiscard]] std::string keep(instance_id instance);
  /// Stops and removes it, in the background.
  void remove(const std::string& name);
  /// Removes all that are left, before it returns; what is kept later is left alone.
  void finish();

private:
  bool forget(const std::string& name);
  /// Returns: whether the engine says that they are gone.
  [[nodiscard]] bool remove_now(const std::vector<std::string>& names) const;

  const container_rule rule_;
  const std::string folder_;
  std::mutex mutex_;
  std::set<std::string> kept_;
  std::uint64_t named_ = 0;
  std::atomic<bool> finished_ = false;
  boost::asio::thread_pool removers_;
};

/// One call of a tool that a coroutine waits for. All on one strand.
class awaited_tool {
public:
  awaited_tool(boost::asio::io_context& io, boost::asio::any_io_executor strand);
  /// Runs it to its end, or until cut(). `line` is called for each line that it prints. Both are
  /// the caller's, until it returns.
  links::task<result<child_exit>> run(const child_spec& spec,
                                      const std::function<void(std::string)>& line);
  /// Ends it; run() returns with an error.
  void cut();

private:
  struct waiting {
    explicit waiting(const boost::asio::any_io_executor& strand) : end(strand) {}
    boost::asio::steady_timer end; ///< Cancelled when it is over.
    std::optional<child_exit> how;
    std::function<void(std::string)> line;
  };
  boost::asio::io_context& io_;
  boost::asio::any_io_executor strand_;
  std::shared_ptr<waiting> waiting_;
  std::unique_ptr<child_process> process_;
};

} // namespace consort::node
