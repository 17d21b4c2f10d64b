// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How many of one kind do the same thing at a time, here: handshakes of one address, which cost a
/// signature each. Others wait for their turn, first come first served, so that a whole site that
/// comes back at once gets in one after another, while who only begins blocks nobody but its own
/// address. Thread-safe.

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace consort::links {

class turnstile : public std::enable_shared_from_this<turnstile> {
public:
  /// A place inside, or in the queue. It is given up with this.
  class turn {
  public:
    turn(std::shared_ptr<turnstile> of, std::string key, std::function<void()> called);
    ~turn();
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    /// Whether it is its turn.
    [[nodiscard]] bool has_come() const;

  private:
    friend turnstile;
    const std::shared_ptr<turnstile> of_;
    const std::string key_;
    const std::function<void()> called_;
    bool inside_ = false; ///< Under the turnstile's mutex.
  };

  /// Requires: `inside_max` positive.
  explicit turnstile(std::size_t inside_max) : inside_max_(inside_max) {}

  /// `called` runs at most once, on any thread, when it is its turn and was not at once; it must
  /// only post.
  [[nodiscard]] std::unique_ptr<turn> ask(const std::string& key, std::function<void()> called);

  /// Keys with somebody inside.
  [[nodiscard]] std::size_t keys() const;

private:
  struct gate {
    std::size_t inside = 0;
    std::list<turn*> waiting;
  };
  void enter(turn& one);
  void leave(turn& one);

  const std::size_t inside_max_;
  mutable std::mutex mutex_;
  std::map<std::string, gate> gates_;
};

} // namespace consort::links
