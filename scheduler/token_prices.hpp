// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Looks up what the tokens of a model cost at a device. Pure.

#include "scheduler/resources.hpp"
#include "scheduler/served_name.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace consort {

/// In a price_list, who is not named.
inline constexpr std::string_view price_of_others = "*";

/// What is wrong with the name that a price is of, to be put behind it: it is a model's, as its
/// server calls it, or price_of_others. Nothing when it is fine.
[[nodiscard]] inline std::optional<std::string> objection_to_price_of(std::string_view name) {
  return name == price_of_others ? std::nullopt : objection_to_name(name);
}

/// Returns: the price of a model under a server's name, else the price of all that are not named;
/// null when neither is known. Valid as long as the list.
[[nodiscard]] inline const token_price* price_of(const price_list& prices, std::string_view name) {
  auto found = prices.find(name);
  if (found == prices.end())
    found = prices.find(price_of_others);
  return found == prices.end() ? nullptr : &found->second;
}

/// What tokens cost, in 1e-12 of the currency unit. `prompt` has `cached` in it.
[[nodiscard]] inline std::uint64_t picos_of(const token_price& price, std::uint64_t prompt,
                                            std::uint64_t cached, std::uint64_t completion) {
  const auto known = cached < prompt ? cached : prompt;
  return price.prompt_micros_per_mtok * (prompt - known) + price.cached_micros_per_mtok * known
         + price.completion_micros_per_mtok * completion;
}

} // namespace consort
