// SPDX-License-Identifier: Apache-2.0
#include "node/rank_place.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace consort::node {

namespace {

constexpr const char* loopback = "127.0.0.1";

template <class Read>
std::string joined(const std::vector<device_spec>& devices, Read read) {
  std::string text;
  for (const auto& one : devices)
    text += (text.empty() ? "" : ",") + read(one);
  return text;
}

std::optional<std::uint64_t> as_number(const std::string& text) {
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, number);
  return wrong == std::errc{} && stop == end ? std::optional(number) : std::nullopt;
}

std::string index_of(const device_spec& one) {
  const auto index = one.attributes.find("index");
  return index == one.attributes.end() ? std::string("0") : index->second;
}

/// 0 and on: their numbers for who sees no others.
std::string joined_places(const std::vector<device_spec>& devices) {
  std::size_t next = 0;
  return joined(devices, [&next](const device_spec&) { return std::to_string(next++); });
}

std::string host_of(const std::string& address) {
  const auto colon = address.rfind(':');
  return colon == std::string::npos || colon == 0 ? loopback : address.substr(0, colon);
}

} // namespace

rank_place place_of(const allocation& grant, const std::vector<device_spec>& local,
                    std::uint32_t rank, std::uint32_t ranks) {
  rank_place place;
  place.degree = static_cast<std::uint32_t>(grant.shares.size());
  place.rank = rank;
  place.ranks = ranks;
  place.master = grant.master;
  for (std::size_t at = 0; at < grant.shares.size(); ++at) {
    const auto found = std::find_if(local.begin(), local.end(), [&](const device_spec& one) {
      return one.id == grant.shares[at].device;
    });
    if (found == local.end())
      continue;
    if (place.devices.empty())
      place.first = static_cast<std::uint32_t>(at);
    place.devices.push_back(*found);
  }
  return place;
}

std::string joined_uuids(const std::vector<device_spec>& devices) {
  return joined(devices,
                [](const device_spec& one) { return one.uuid.empty() ? one.id.value : one.uuid; });
}

std::string joined_indexes(const std::vector<device_spec>& devices) {
  auto sorted = devices;
  const auto is_number
      = [](const device_spec& one) { return as_number(index_of(one)).has_value(); };
  if (std::all_of(sorted.begin(), sorted.end(), is_number))
    std::stable_sort(sorted.begin(), sorted.end(), [](const device_spec& a, const device_spec& b) {
      return as_number(index_of(a)) < as_number(index_of(b));
    });
  return joined(sorted, index_of);
}

std::map<std::string, std::string> rank_values(const rank_place& place, const device_spec& alone) {
  const auto devices = place.devices.empty() ? std::vector{alone} : place.devices;
  const auto colon = place.master.rfind(':');
  return {
      {"devices", joined_uuids(devices)},
      {"indexes", joined_indexes(devices)},
      {"places", joined_places(devices)},
      {"tp", std::to_string(place.degree)},
      {"rank", std::to_string(place.rank)},
      {"ranks", std::to_string(place.ranks)},
      {"master", place.master},
      {"masterhost", place.master.empty() ? "" : host_of(place.master)},
      {"masterport", colon == std::string::npos ? std::string() : place.master.substr(colon + 1)}};
}

result<std::string> rendezvous_address(const std::string& data_address) {
  namespace asio = boost::asio;
  asio::io_context io;
  asio::ip::tcp::acceptor probe(io);
  boost::system::error_code failed;
  const asio::ip::tcp::endpoint any(asio::ip::tcp::v4(), 0);
  if (!probe.open(any.protocol(), failed) && !probe.bind(any, failed))
    if (const auto bound = probe.local_endpoint(failed); !failed)
      return host_of(data_address) + ":" + std::to_string(bound.port());
  return error{recovery::retry_elsewhere, "no_port", "no free port: " + failed.message()};
}

} // namespace consort::node
