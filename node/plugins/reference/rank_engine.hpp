// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An engine over several devices of the reference accelerator. Every device holds the whole model
/// and computes every step; of the logits each gives the words of its own share, and the leader
/// samples from all shares together. So nothing is generated with a rank gone.
///
/// Of the devices, the leader's first is a session's own engine; every other one is a
/// `rank_worker`, on a thread here or in a process on another node. A rank that goes ends the
/// process of whoever notices, as vendors' collective libraries do: no part can go on alone.

#include "node/plugins/llama/engine.hpp"
#include "node/plugins/reference/rank_link.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace consort::reference {

/// Where a process stands in an engine of `degree` devices.
struct rank_span {
  std::vector<std::uint32_t> devices; ///< Of this host, by index; at least one.
  std::uint32_t degree = 1;
  std::uint32_t first = 0; ///< Share of `devices[0]`.
  std::uint32_t rank = 0;
  std::string master; ///< Empty = all devices are this host's.
};

/// Computes one share for its leader, from a thread of its own, until the link ends.
class rank_worker {
public:
  rank_worker(llama::loaded_engine engine, rank_link link, rank_hello who);
  ~rank_worker();
  rank_worker(const rank_worker&) = delete;
  rank_worker& operator=(const rank_worker&) = delete;

  [[nodiscard]] std::uint64_t memory_bytes() const;
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

private:
  void run();
  [[nodiscard]] result<done> obey(const rank_link::frame& order);
  [[nodiscard]] result<done> step(const std::vector<char>& rows);

  llama::loaded_engine engine_;
  llama::token_batch batch_;
  rank_link link_;
  const rank_hello who_;
  std::atomic<std::uint64_t> steps_ = 0;
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

/// The leader's view of all other ranks.
class rank_group final : public llama::step_peers {
public:
  /// What all ranks have to say, but for their shard. Before the first joins.
  void expect(const rank_hello& all) { expected_ = all; }
  /// A rank that linked up; it has to say hello within limits::rank_step_ms.
  [[nodiscard]] result<done> join(rank_link link);
  /// Lets further nodes' ranks in until all are here. Failures: `rank_gone`.
  [[nodiscard]] result<done> meet(const std::string& master);

  void begin_step(const llama_batch& batch) override;
  void finish_step(llama_context& context, const llama_batch& batch) override;
  void drop_step() override;
  void forget_sequence(llama_seq_id sequence) override;
  void copy_sequence(llama_seq_id from, llama_seq_id to) override;
  void forget_all() override;

private:
  struct member {
    rank_link link;
    std::uint32_t shard = 0;
  };
  void tell_all(rank_frame kind, const void* bytes, std::size_t count);
  [[nodiscard]] std::vector<float> share_of(member& from, std::size_t rows);

  rank_hello expected_; ///< But for the shard.
  std::vector<member> members_;
};

/// Ends this process: a rank of its engine is gone.
[[noreturn]] void end_with_rank(const std::string& why);

} // namespace consort::reference
