// SPDX-License-Identifier: Apache-2.0
// What a node tells of its plugins fits a frame, whatever its tools print.
#include "actors/limits.hpp"
#include "actors/plugin_report.hpp"
#include "messages/codec.hpp"
#include "messages/limits.hpp"

#include <gtest/gtest.h>

namespace consort::actors {
namespace {

node::plugin_status plugin(std::string name, std::string reason = {}) {
  node::plugin_status made;
  made.metadata.name = std::move(name);
  made.metadata.origin = "/p";
  made.available = reason.empty();
  made.reason = std::move(reason);
  return made;
}

node::device_claim claim(const std::string& device, std::vector<std::string> losers) {
  return {"U-" + device, device_id{device}, "far", std::move(losers), "priority 60 over 50 (near)"};
}

/// As a node sends it and a gateway reads it.
result<messages::decoded<messages::query_answer>> sent(const messages::plugins_report& report) {
  messages::envelope from;
  from.kind = messages::sender_kind::node;
  from.sender = "n";
  from.version = messages::protocol_version;
  messages::query_answer answer;
  answer.plugins = {report};
  const auto bytes = messages::encode(from, answer);
  if (!bytes)
    return bytes.failure();
  return messages::decode_query_answer(*bytes);
}

TEST(PluginReport, TellsWhoFoundWhatAndWhoLostIt) {
  auto engine = plugin("engine");
  engine.hosts = {device_id{"n/npu0"}};
  auto far = plugin("far");
  far.devices = {device_id{"n/npu0"}};
  far.metadata.priority = 60;
  const auto report
      = report_plugins(node_id{"n"}, {engine, far, plugin("near", "not on this host: neartool")},
                       {claim("n/npu0", {"near"}), claim("n/cpu0", {})});
  EXPECT_TRUE(report.answered);
  EXPECT_EQ(report.node, node_id{"n"});
  ASSERT_EQ(report.plugins.size(), 3u);
  EXPECT_EQ(report.plugins[0].devices, std::vector<std::string>{"n/npu0"}) << "that it runs on";
  EXPECT_EQ(report.plugins[1].devices, std::vector<std::string>{"n/npu0"});
  EXPECT_EQ(report.plugins[1].priority, 60);
  EXPECT_EQ(report.plugins[2].reason, "not on this host: neartool");
  EXPECT_FALSE(report.plugins[2].available);
  ASSERT_EQ(report.claims.size(), 1u) << "an only claim is its plugin's device";
  EXPECT_EQ(report.claims[0].losers, std::vector<std::string>{"near"});
  EXPECT_EQ(report.left_out, 0u);
  EXPECT_TRUE(sent(report).ok());
}

TEST(PluginReport, HasNoMoreRowsThanTheWireTakes) {
  using namespace messages::limits;
  std::vector<node::plugin_status> plugins(plugins_max + 2, plugin("p"));
  plugins[0].devices.assign(words_max + 3, device_id{"n/npu0"});
  const std::vector<node::device_claim> claims(claims_max + 4, claim("n/npu0", {"near"}));
  const auto report = report_plugins(node_id{"n"}, plugins, claims);
  EXPECT_EQ(report.plugins.size(), plugins_max);
  EXPECT_EQ(report.plugins[0].devices.size(), words_max);
  EXPECT_EQ(report.claims.size(), claims_max);
  EXPECT_EQ(report.left_out, 2u + 3u + 4u);
  EXPECT_TRUE(sent(report).ok());
}

TEST(PluginReport, CutsWhatToolsSayAndStaysWithinItsBytes) {
  const std::string endless(limits::plugin_text_bytes_max + 1, 'x');
  const auto one = report_plugins(node_id{"n"}, {plugin("p", endless)}, {});
  EXPECT_EQ(one.plugins[0].reason.size(), limits::plugin_text_bytes_max);
  const std::vector<node::plugin_status> plugins(messages::limits::plugins_max,
                                                 plugin("p", "\xff" + endless));
  const auto report = report_plugins(node_id{"n"}, plugins, {});
  EXPECT_LT(report.plugins.size(), plugins.size());
  EXPECT_EQ(report.plugins.size() + report.left_out, plugins.size());
  const auto there = sent(report);
  ASSERT_TRUE(there.ok());
  EXPECT_EQ(there->body.plugins[0], report);
  std::size_t bytes = 0;
  for (const auto& row : report.plugins)
    bytes += row.reason.size();
  EXPECT_LE(bytes, limits::plugin_list_bytes_max);
  EXPECT_GT(bytes, limits::plugin_list_bytes_max * 3 / 4) << "and makes use of them";
}

} // namespace
} // namespace consort::actors
