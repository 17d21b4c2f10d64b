// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A network of its own for each node of a rehearsal, so that a partition is one: packets are
/// dropped in the kernel, of every connection that the node has, and TCP finds out by itself. Each
/// network is a Linux namespace with one cable to a hub, where everything else of the rehearsal
/// lives, its own thread included; addresses are of loopback, beyond which links want certificates.
/// Namespaces have no names: they last while a process or descriptor is in them, so that whatever
/// ends the rehearsal, SIGKILL included, leaves none, nor a cable. Needs root, `ip` and `tc`
/// (iproute2) and `nsenter`; no shell is used. Owned by the cluster, on its one thread.

#include "scheduler/result.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace consort::live {

/// A descriptor of a network namespace; closed with the object.
class namespace_handle {
public:
  namespace_handle() = default;
  /// Of the calling thread's. Check given().
  [[nodiscard]] static namespace_handle current();
  ~namespace_handle();
  namespace_handle(namespace_handle&& from) noexcept;
  namespace_handle& operator=(namespace_handle&& from) noexcept;

  [[nodiscard]] bool given() const { return fd_ >= 0; }
  [[nodiscard]] int fd() const { return fd_; }
  /// Moves the calling thread there. Returns: whether it is.
  [[nodiscard]] bool enter() const;

private:
  int fd_ = -1;
};

class networks {
public:
  /// Makes a hub and `nodes` networks, and moves the calling thread into the hub. Errors: why there
  /// can be none on this host; the thread is where it was, and nothing is left.
  [[nodiscard]] static result<std::unique_ptr<networks>> make(std::size_t nodes);
  /// Moves the thread back.
  ~networks();
  networks(const networks&) = delete;
  networks& operator=(const networks&) = delete;

  /// While it lives the calling thread, and what it forks, is in a node's network.
  class visit {
  public:
    visit(const networks& all, std::size_t node);
    ~visit();
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    [[nodiscard]] bool arrived() const { return arrived_; }

  private:
    const networks& all_;
    bool arrived_;
  };

  /// Where nodes find what listens in the hub.
  [[nodiscard]] static std::string hub_address();
  [[nodiscard]] static std::string address_of(std::size_t node);
  /// Drops what a node sends (`forth`) and is sent (`back`), or no more.
  [[nodiscard]] result<done> hold(std::size_t node, bool forth, bool back) const;

private:
  networks() = default;
  [[nodiscard]] result<done> make_hub();
  [[nodiscard]] result<done> add_node(std::size_t node) const;
  [[nodiscard]] result<done> enter_new(namespace_handle& made) const;

  namespace_handle outside_;
  namespace_handle hub_;
  std::vector<namespace_handle> nodes_;
};

} // namespace consort::live
