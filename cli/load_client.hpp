// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The load generator behind `bench`: a number of concurrent streams that send OpenAI completions
/// to one server until the wanted number of requests is done, each stream on a connection of its
/// own that it keeps. With a rate, requests come when they come (Poisson arrivals, the same ones in
/// every run) and wait for a free stream when all are busy, which counts as their time. One thread
/// drives them all. Every wait has a timeout. Limits: limits::bench_streams_max,
/// limits::bench_requests_max.

#include "scheduler/ids.hpp"
#include "scheduler/prng.hpp"
#include "scheduler/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace consort::cli {

struct load_options {
  std::string url;
  std::string api_key;
  std::string model;
  std::string device;
  std::string prompt;              ///< Empty = made up, different for each request.
  std::uint32_t input_tokens = 32; ///< About as many in a made-up prompt.
  std::uint32_t max_tokens = 64;
  std::uint32_t streams = 1;
  std::uint32_t requests = 16;
  double rate = 0; ///< Requests per second; 0 = each stream sends its next when it has an answer.
};

/// What was measured. Spans in microseconds, ascending.
struct load_report {
  std::vector<duration_us> first_token_us; ///< Request sent, or due -> first text.
  std::vector<duration_us> token_gap_us;   ///< Between chunks of one stream.
  std::vector<duration_us> whole_us;       ///< Request sent, or due -> end.
  std::uint64_t finished = 0;
  std::uint64_t tokens = 0; ///< By the server's usage, else chunks.
  std::uint64_t chunks = 0;
  std::map<std::string, std::uint64_t> errors; ///< By kind, e.g. `HTTP 429`.
  std::map<std::string, std::string> said; ///< By kind: the server's words at the first of them.
  std::set<std::string> devices;           ///< That answered, where the server tells which.
  duration_us wall_us = 0;
};

/// Runs the whole load. Returns: an error only when the URL is wrong or nothing answers at all.
[[nodiscard]] result<load_report> run_load(const load_options& options);

/// A prompt of about `tokens` tokens that differs by `number`, so that no prefix cache helps.
[[nodiscard]] std::string made_up_prompt(std::uint32_t tokens, std::uint64_t number);

/// Until the next request of a load of `rate` per second, whose requests do not know of each other:
/// exponentially distributed. Requires: rate > 0.
[[nodiscard]] duration_us next_arrival_us(core::prng& chance, double rate);

} // namespace consort::cli
