// SPDX-License-Identifier: Apache-2.0
#include "cli/price_config.hpp"

#include "node/limits.hpp"
#include "scheduler/token_prices.hpp"

#include <cmath>

namespace consort::cli {

namespace {

using strict_json::object_reader;
using strict_json::value;

constexpr double price_max = 1'000; ///< Per million tokens; scores believe no more.

std::uint64_t micros(object_reader& reader, std::string_view field, std::uint64_t fallback) {
  const auto units = reader.number(field, static_cast<double>(fallback) / 1e6, 0, price_max);
  return static_cast<std::uint64_t>(std::llround(units * 1e6));
}

token_price read_price(const value& section, std::string_view origin,
                       std::optional<error>& failure) {
  object_reader reader(section, origin, failure);
  token_price made;
  for (const auto* field : {"in_per_mtok", "out_per_mtok"})
    reader.require(field);
  made.prompt_micros_per_mtok = micros(reader, "in_per_mtok", 0);
  made.cached_micros_per_mtok = micros(reader, "cached_per_mtok", made.prompt_micros_per_mtok);
  made.completion_micros_per_mtok = micros(reader, "out_per_mtok", 0);
  reader.finish();
  return made;
}

price_list read_models(const value& section, std::string_view origin,
                       std::optional<error>& failure) {
  object_reader models(section, origin, failure);
  price_list made;
  if (section.members.size() > node::limits::server_prices_max)
    models.fail("", "more than " + std::to_string(node::limits::server_prices_max) + " models");
  for (const auto& [name, entry] : section.members) {
    if (const auto wrong = objection_to_price_of(name))
      models.fail(name, *wrong);
    const auto* model = models.object(name);
    if (model == nullptr)
      continue;
    object_reader reader(*model, origin, failure);
    reader.require("price");
    if (const auto* price = reader.object("price"))
      made[name] = read_price(*price, origin, failure);
    reader.finish();
  }
  return made;
}

} // namespace

void read_remotes(const value& section, std::string_view origin, std::optional<error>& failure,
                  cluster_config& made) {
  object_reader remotes(section, origin, failure);
  for (const auto& [plugin, entry] : section.members) {
    const auto* remote = remotes.object(plugin);
    if (remote == nullptr)
      continue;
    object_reader reader(*remote, origin, failure);
    if (const auto* models = reader.object("models"))
      made.prices[plugin] = read_models(*models, origin, failure);
    reader.finish();
  }
}

} // namespace consort::cli
