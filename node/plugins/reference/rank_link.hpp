// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The stream between the leader of an engine over several devices and one of its further ranks:
/// frames of a kind, a count and numbers in the machine's own order, since both ends are this
/// runtime on machines of one kind. Owns its socket; blocking, with deadlines; not thread-safe. As
/// with other vendors' links between ranks there is no encryption: it belongs on a network of the
/// cluster's own.

#include "scheduler/result.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace consort::reference {

enum class rank_frame : std::uint32_t { hello = 1, step, logits, forget, copy, forget_all };

/// Who joins: said first by the rank, answered by nothing. All must agree with the leader but
/// `shard`.
struct rank_hello {
  std::uint32_t version = 1;
  std::uint32_t shard = 0;  ///< Which of the `degree` shares of the logits it computes.
  std::uint32_t degree = 0; ///< Devices of the engine.
  std::uint32_t context_tokens = 0;
  std::uint32_t sequences = 0;
  std::uint32_t words = 0; ///< Of the vocabulary.
  std::uint64_t payload_xxh64 = 0;
};
static_assert(sizeof(rank_hello) == 32, "hellos are compared byte by byte");

/// One row of a step's batch.
struct rank_row {
  std::int32_t token = 0;
  std::int32_t position = 0;
  std::int32_t sequence = 0;
  std::int32_t wants_logits = 0;
};

/// First and one past the last word of a share.
[[nodiscard]] std::pair<std::size_t, std::size_t> words_of(std::uint32_t shard,
                                                           std::uint32_t degree, std::size_t words);

class rank_link {
public:
  explicit rank_link(int socket) : socket_(socket) {}
  ~rank_link();
  rank_link(rank_link&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  rank_link& operator=(rank_link&&) = delete;

  /// Both ends of a link within this process.
  [[nodiscard]] static result<std::pair<rank_link, rank_link>> pair();
  /// Dials the leader until it answers or limits::rank_meet_ms are over.
  [[nodiscard]] static result<rank_link> dial(const std::string& master);

  struct frame {
    rank_frame kind = rank_frame::hello;
    std::vector<char> bytes;
  };
  [[nodiscard]] result<done> send(rank_frame kind, const void* bytes, std::size_t count);
  /// Waits for at most `wait_ms`; below 0 = for ever (until the other end closes). Refuses frames
  /// larger than limits::rank_frame_bytes_max.
  [[nodiscard]] result<frame> receive(int wait_ms);
  /// Ends a receive() that another thread waits in.
  void shut();

private:
  [[nodiscard]] result<done> read_exactly(char* into, std::size_t bytes, int wait_ms);
  int socket_ = -1;
  friend class rank_door;
};

/// Listens where ranks meet their leader.
class rank_door {
public:
  /// `master` is `host:port`; a loopback host is bound alone, any other on all interfaces.
  [[nodiscard]] static result<rank_door> open(const std::string& master);
  ~rank_door();
  rank_door(rank_door&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  rank_door& operator=(rank_door&&) = delete;
  /// The next to dial, within `wait_ms`.
  [[nodiscard]] result<rank_link> accept(int wait_ms);

private:
  explicit rank_door(int socket) : socket_(socket) {}
  int socket_ = -1;
};

} // namespace consort::reference
