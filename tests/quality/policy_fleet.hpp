// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Engines of a mixed fleet in virtual time, from published device figures, for comparing policies.
/// Each batches continuously: a step decodes one token of every running sequence and reads a chunk
/// of the prompt in front. Step time is a roofline;
/// floating point is fine here, nothing of it decides. Not a test, and no model of any one product.

#include "scheduler/types.hpp"

#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

namespace consort::quality {

/// One line of a table of device figures.
struct chip {
  std::string name, kind;
  double memory_gb = 0, bandwidth_gbps = 0, tflops = 0, tdp_w = 0, idle_w = 0, price = 0;
  double sleep_w = 0;
  duration_us sleep_after_us = 0; ///< Without work; 0 = it never sleeps.
  duration_us wake_us = 0;        ///< Before the first step; draws full power.
};
/// Reads `name,kind,mem_gb,bw_gbps,fp16_tflops,int8_tops,tdp_w,idle_w,usd_per_h,...`; unknown idle
/// power counts as a quarter of full, an unknown price as 0.60 an hour. Empty when unreadable.
[[nodiscard]] std::vector<chip> read_chips(const std::string& path);

struct arrival {
  time_us at = 0;
  std::uint32_t prompt = 1, output = 1;
  std::vector<std::uint64_t> blocks; ///< Of 512 tokens; empty = nothing shared.
};
/// A CSV of `time,prompt,output` (first line names columns) or JSON lines of Mooncake's form.
[[nodiscard]] std::vector<arrival> read_arrivals(const std::string& path, std::size_t count_max);

inline constexpr std::uint32_t block_tokens = 512;

/// What happened to one request on an engine.
struct engine_event {
  enum class kind : std::uint8_t { first_token, progress, finished };
  kind what = kind::progress;
  std::size_t request = 0;
  std::uint32_t tokens = 0;
  std::uint32_t cached = 0; ///< Prompt tokens found in the cache.
  std::uint32_t batch = 1;
};

class engine {
public:
  explicit engine(const chip& from);

  /// As its spec sheet says, which is more than it does.
  [[nodiscard]] speed_spec sheet() const;
  [[nodiscard]] std::uint32_t sequences_max() const { return sequences_max_; }
  [[nodiscard]] std::uint64_t kv_tokens() const { return kv_tokens_; }
  /// Whether the model fits at all.
  [[nodiscard]] bool fits() const { return kv_tokens_ > 4'096; }

  void take(std::size_t request, const arrival& work, time_us now);
  /// When the step that runs ends; nothing when it is idle.
  [[nodiscard]] std::optional<time_us> next() const { return step_end_; }
  /// Ends the step and begins the next. Requires: next() is now.
  void step(std::vector<engine_event>& happened);

  [[nodiscard]] double busy_s() const { return static_cast<double>(busy_us_) / 1e6; }
  /// What its meter shows at `now`: idle and asleep included, from time 0. Requires: now is not
  /// before the step that runs began.
  [[nodiscard]] double joules(time_us now) const;
  [[nodiscard]] double money() const { return busy_s() / 3'600 * chip_.price; }
  [[nodiscard]] std::size_t inside() const { return prompts_.size() + running_.size(); }
  /// Prompt tokens of it that are in the cache now.
  [[nodiscard]] std::uint32_t cached_tokens(const arrival& work) const;

  // --- what bounds are made of: parts of a step, in microseconds ---
  [[nodiscard]] double step_floor_us() const; ///< Whatever is in it: overhead and the weights.
  [[nodiscard]] double weights_us() const;    ///< Of that, what arithmetic may hide.
  [[nodiscard]] double token_compute_us() const;
  [[nodiscard]] double kv_read_us(double tokens) const;
  [[nodiscard]] double attention_us(double chunk, double read) const;
  [[nodiscard]] const chip& of() const { return chip_; }
  [[nodiscard]] std::uint32_t chunk_max() const { return chunk_max_; }
  [[nodiscard]] std::uint64_t cache_blocks() const { return cache_blocks_; }

private:
  struct sequence {
    std::size_t request = 0;
    std::uint32_t fresh_left = 0, cached = 0, done = 0, output = 1, context = 0;
    std::vector<std::uint64_t> blocks;
    time_us told_at = 0;
  };
  [[nodiscard]] duration_us asleep_us(duration_us idle_us) const;
  void remember(const std::vector<std::uint64_t>& blocks);
  void begin_step(time_us now);

  chip chip_;
  std::uint32_t sequences_max_ = 1, chunk_max_ = 512;
  std::uint64_t kv_tokens_ = 0, cache_blocks_ = 0;
  std::list<sequence> prompts_; ///< In order.
  std::vector<sequence> running_;
  std::uint32_t chunk_ = 0; ///< Of the step that runs.
  std::optional<time_us> step_end_;
  duration_us busy_us_ = 0, asleep_us_ = 0;
  time_us idle_since_ = 0;
  std::list<std::uint64_t> recent_; ///< Cached blocks, latest first.
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> places_;
};

} // namespace consort::quality
