// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Requests as the scheduler sees them (metadata only; bodies never come here), tickets, and
/// reports about attempts.

#include "scheduler/models.hpp"
#include "scheduler/result.hpp"

namespace consort {

enum class request_kind : std::uint8_t { chat, completion, embedding };
enum class priority_class : std::uint8_t { interactive, standard, batch };

/// What the gateway knows about a request without reading its meaning.
struct request_meta {
  request_id id;
  std::string external_id; ///< X-Request-Id, echoed or made; what people pass to `explain`. At most
                           ///< 128 bytes.
  request_kind kind = request_kind::completion;
  model_name model;
  tenant_id tenant;
  std::string session;           ///< X-Consort-Session; empty = none.
  std::string selector = "auto"; ///< Device selector as the contract defines it.
  priority_class priority = priority_class::standard;
  std::optional<policy_name> policy; ///< nullopt = the tenant's, the model's or the cluster's.
  std::uint32_t prompt_tokens = 0;   ///< Estimated from bytes; only the engine knows.
  std::uint32_t max_tokens = 0;      ///< Upper bound over one choice; 0 = unbounded by the client.
  std::uint32_t choices = 1;         ///< `n`.
  bool streaming = false;
  bool resumable = true;                  ///< False for n > 1, logprobs, tools, grammars.
  std::optional<duration_us> deadline_us; ///< From submission; passed -> 408.
  std::optional<duration_us>
      wait_us; ///< Most the caller waits for load, compile or queue; 0 = now or never.
  std::vector<std::uint64_t>
      prefix_blocks; ///< Chained hashes of prompt blocks; at most limits::prefix_blocks_max.
  std::vector<std::string> labels; ///< Of its data; each is a constraint on devices
                                   ///< (scheduler/labels.hpp). At most limits::labels_max.
  bool hedge = false; ///< While it waits too long for its first token, a second attempt may run
                      ///< beside the first; whichever brings a token first goes on.
  /// What is certain of the longest prompt of a completion: so many tokens if it came as ids, else
  /// so many bytes of text. 0 = nothing is, as of what a template makes of a chat.
  std::uint32_t prompt_ids = 0, prompt_bytes = 0;
  std::uint32_t asks = 0; ///< Beside its kind and `choices`: bits of asks.hpp.
  friend bool operator==(const request_meta&, const request_meta&) = default;
};

/// Permission to run one attempt on one endpoint, once. Fenced by incarnation and epoch; sealed
/// with a MAC by the scheduler.
struct ticket {
  attempt_id attempt;
  instance_id instance;
  std::uint32_t endpoint_rank = 0; ///< Data-parallel rank.
  device_id device;                ///< The leader's.
  node_id node;
  incarnation node_incarnation;
  epoch lease_epoch;
  std::string data_address; ///< `host:port` of the node's data port; empty in one process.
  model_name model;         ///< Resolved served name.
  digest variant;           ///< Weights digest the replica serves.
  time_us expires_at = 0;   ///< Scheduler time; a node refuses it afterwards.
  std::string mac;          ///< Set by the scheduler's shell, not by the core.
  friend bool operator==(const ticket&, const ticket&) = default;
};

/// Token counts as OpenAI's `usage` defines them.
struct token_usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0; ///< Part of the prompt served from the prefix cache.
  friend bool operator==(const token_usage&, const token_usage&) = default;
};

/// What one finished attempt measured; feeds the cost model. Spans as the gateway saw them.
struct attempt_measurement {
  token_usage usage;
  duration_us first_token_us = 0; ///< Ticket opened -> first token.
  duration_us total_us = 0;       ///< Ticket opened -> last token.
  std::uint32_t batch = 0; ///< Sequences in the engine beside it, itself included; 0 = unknown.
  duration_us engine_queue_us = 0;        ///< Waited inside the engine, if it says.
  std::optional<std::uint64_t> energy_mj; ///< Drawn for it above idle power; nullopt = unknown.
  /// Paid for its tokens, 1e-6 of the currency unit; nullopt = unknown, or not paid by the token.
  std::optional<std::uint64_t> cost_micros = {};
  friend bool operator==(const attempt_measurement&, const attempt_measurement&) = default;
};

/// Code of an attempt's failure when its data link broke before the attempt ended: the node's
/// process is gone, or cannot be reached.
inline constexpr const char* data_link_lost = "data_link_lost";

/// How a request ended. Every accepted request ends exactly once, in one of these.
enum class request_outcome : std::uint8_t { finished, failed, cancelled, rejected, expired };

} // namespace consort
