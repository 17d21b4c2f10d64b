// SPDX-License-Identifier: Apache-2.0
// What the tokens of a model are believed to cost at a device.
#include "scheduler/token_prices.hpp"

#include "scheduler/formats.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/spending.hpp"

#include <algorithm>

namespace consort::core {

namespace {

constexpr std::string_view at_server = "server/";

std::uint32_t believed(std::uint64_t micros_per_mtok) {
  return static_cast<std::uint32_t>(std::min(micros_per_mtok, limits::token_price_micros_max));
}

/// What the device calls the model: the name that the first of its forms which runs there has at a
/// server, else ours.
std::string_view name_there(const model_spec& model, const device_capability& there) {
  for (const auto& variant : model.variants)
    if (variant.format.starts_with(at_server) && runs_format(there.formats, variant.format))
      return std::string_view(variant.format).substr(at_server.size());
  return model.name.value;
}

/// Nobody has said what it costs: no less than anything else there, so that it neither is preferred
/// for that nor spends a budget unseen.
token_rates dearest(const price_list& prices) {
  token_rates most;
  for (const auto& [name, price] : prices) {
    most.prompt_pico = std::max(most.prompt_pico, believed(price.prompt_micros_per_mtok));
    most.output_pico = std::max(most.output_pico, believed(price.completion_micros_per_mtok));
  }
  most.guessed = true;
  return most;
}

} // namespace

token_rates token_rates_of(const core_state& s, index model, index device) {
  const auto& there = s.devices[device].spec.capability;
  if (there.prices.empty())
    return {};
  const auto* known = price_of(there.prices, name_there(s.models[model].spec, there));
  return known == nullptr ? dearest(there.prices)
                          : token_rates{believed(known->prompt_micros_per_mtok),
                                        believed(known->completion_micros_per_mtok), false};
}

} // namespace consort::core
