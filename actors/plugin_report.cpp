// SPDX-License-Identifier: Apache-2.0
#include "actors/plugin_report.hpp"

#include "actors/limits.hpp"
#include "messages/limits.hpp"
#include "messages/wire_check.hpp"

#include <algorithm>
#include <utility>

namespace consort::actors {

namespace {

/// Room left in one list, in rows and in bytes.
class list_room {
public:
  explicit list_room(std::size_t rows) : rows_(rows) {}
  /// Returns: whether the row has its place.
  bool take(std::size_t bytes, std::size_t& bytes_left) {
    if (rows_ == 0 || bytes > bytes_left)
      return false;
    --rows_;
    bytes_left -= bytes;
    return true;
  }

private:
  std::size_t rows_;
};

/// Of a text in a frame: its pointer, its end and what fills its last word.
std::size_t weight(const std::string& text) {
  constexpr std::size_t overhead = 16;
  return text.size() + overhead;
}

std::size_t weight(const std::vector<std::string>& texts) {
  std::size_t sum = 0;
  for (const auto& text : texts)
    sum += weight(text);
  return sum;
}

constexpr std::size_t row_bytes = 64; ///< Its numbers and pointers.

/// For people, at a length that leaves room for the others.
std::string cut(const std::string& text) {
  return messages::repaired(text, limits::plugin_text_bytes_max);
}

messages::plugin_row row_of(const node::plugin_status& plugin) {
  const auto& about = plugin.metadata;
  messages::plugin_row row;
  row.name = about.name;
  row.version = cut(about.version);
  row.vendor = cut(about.vendor);
  row.priority = about.priority;
  row.origin = cut(about.origin);
  row.available = plugin.available;
  row.failed = plugin.probe_failed;
  row.reason = cut(plugin.reason);
  for (const auto* list : {&plugin.devices, &plugin.hosts})
    for (const auto& device : *list)
      row.devices.push_back(device.value);
  return row;
}

messages::claim_row row_of(const node::device_claim& claim) {
  return {cut(claim.uuid), claim.device.value, claim.winner, claim.losers, cut(claim.reason)};
}

/// Returns: how many of the names there is no room for.
std::size_t shorten(std::vector<std::string>& names) {
  const auto kept = std::min(names.size(), messages::limits::words_max);
  const auto left_out = names.size() - kept;
  names.resize(kept);
  return left_out;
}

} // namespace

messages::plugins_report report_plugins(node_id node,
                                        const std::vector<node::plugin_status>& plugins,
                                        const std::vector<node::device_claim>& claims) {
  messages::plugins_report report;
  report.node = std::move(node);
  report.answered = true;
  std::size_t bytes_left = limits::plugin_list_bytes_max;
  std::size_t left_out = 0;
  list_room plugins_room(messages::limits::plugins_max);
  for (const auto& plugin : plugins) {
    auto row = row_of(plugin);
    left_out += shorten(row.devices);
    const auto bytes = row_bytes + weight(row.name) + weight(row.version) + weight(row.vendor)
                       + weight(row.origin) + weight(row.reason) + weight(row.devices);
    if (plugins_room.take(bytes, bytes_left))
      report.plugins.push_back(std::move(row));
    else
      ++left_out;
  }
  list_room claims_room(messages::limits::claims_max);
  for (const auto& claim : claims) {
    if (claim.losers.empty())
      continue;
    auto row = row_of(claim);
    left_out += shorten(row.losers);
    const auto bytes = row_bytes + weight(row.uuid) + weight(row.device) + weight(row.winner)
                       + weight(row.losers) + weight(row.reason);
    if (claims_room.take(bytes, bytes_left))
      report.claims.push_back(std::move(row));
    else
      ++left_out;
  }
  report.left_out = static_cast<std::uint32_t>(left_out);
  return report;
}

} // namespace consort::actors
