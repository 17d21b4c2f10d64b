// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Money charged to it, in 1e-12 of the currency unit: the price of the engine's time, shared by
/// those who decode together, and where tokens are paid for, theirs. A device without a price is
/// free.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct money {
  static constexpr const char* name = "money";
  static linear_score of(const endpoint_figures& at) {
    constexpr std::int64_t ns_micros_per_pico = 3'600'000; // An hour in ns, micros in picos.
    const auto pico = [](std::int64_t ns, std::uint32_t price_micros) {
      return std::min(ns * price_micros / ns_micros_per_pico, per_token_max);
    };
    const auto read_price = at.staged ? at.read_price_micros : at.price_micros;
    const auto token = pico(at.itl_ns, at.price_micros) / std::max<std::int64_t>(at.batch, 1);
    return {pico(at.first_ns, read_price),
            std::min(pico(at.prefill_ns, read_price) + at.prompt_pico, per_token_max),
            std::min(token + at.output_pico, per_token_max)};
  }
};

} // namespace consort::core::scores
