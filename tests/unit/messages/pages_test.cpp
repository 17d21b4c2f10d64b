// SPDX-License-Identifier: Apache-2.0
// A snapshot of a large cluster crosses the wire in pages and comes out whole.
#include "messages/codec.hpp"
#include "scheduler/core.hpp"

#include <gtest/gtest.h>

namespace consort {
namespace {

constexpr time_us now = 5;

void feed(core::core& brain, const core::event& happened) {
  std::vector<core::command> out;
  brain.step(happened, now, out);
}

device_spec device(const std::string& node, int number) {
  device_spec made;
  made.id = device_id{node + "/gpu" + std::to_string(number)};
  made.node = node_id{node};
  made.type = resource_type::gpu;
  made.vendor = "simulated vendor";
  made.model = "sku-80g";
  made.uuid = "GPU-00000000-0000-0000-0000-000000000000";
  made.memory_bytes = 1 << 30U;
  made.capability.formats = {"gguf", "safetensors"};
  made.capability.max_sequences = 64;
  for (int n = 0; n < 5; ++n)
    made.capability.prices["provider/model-of-some-length-" + std::to_string(n)] = {1, 2, 3};
  made.capability.memory_rules = {{{"safetensors"}, 900}};
  made.attributes = {{"driver", "550.54"}, {"numa", "0"}, {"simd", "avx512f avx512bw"}};
  return made;
}

/// Models, artifacts and requests too, so that every list is there.
void fill(core::core& brain, int nodes, int devices) {
  for (int n = 0; n < nodes; ++n) {
    const auto node = "host-" + std::to_string(n);
    feed(brain, core::node_joined{node_id{node}, incarnation{1}, node + ":4281", {}, {}});
    for (int d = 0; d < devices; ++d)
      feed(brain, core::device_advertised{device(node, d), incarnation{1}});
  }
  for (const char* name : {"first", "second"}) {
    model_spec model;
    model.name = model_name{name};
    model.aliases = {model_name{std::string("alias-of-") + name}};
    model.variants.emplace_back().format = "onnx";
    model.variants.back().content
        = digest{std::string(64, "0123456789abcdef"[static_cast<unsigned char>(name[0]) % 16])};
    artifact_record record;
    record.key.binds = std::string("shape-") + name;
    record.content = digest{std::string(64, 'a')};
    record.node = node_id{"host-0"};
    feed(brain, core::artifact_found{record, incarnation{1}});
    feed(brain, core::model_declared{model});
  }
}

/// As scheduler and gateway link do it. Returns: the snapshot put together, and how many pages.
std::pair<core::snapshot, int> through_the_wire(const core::core& brain, std::size_t bytes_max) {
  core::snapshot whole;
  messages::query wanted;
  for (int pages = 1;; ++pages) {
    auto page = brain.view_page(wanted.from, bytes_max, now);
    const messages::query_answer answer{1, std::move(page.rows), page.next, {}};
    messages::envelope from;
    from.sender = "sim";
    const auto bytes = messages::encode(from, answer);
    EXPECT_TRUE(bytes.ok()) << bytes.failure().message;
    auto read = messages::decode_query_answer(*bytes);
    EXPECT_TRUE(read.ok()) << read.failure().message;
    core::append(whole, std::move(*read->body.snapshot));
    if (!read->body.next)
      return {whole, pages};
    wanted.from = *read->body.next;
  }
}

TEST(Pages, AThousandNodesOfEightDevicesFitTheirFrames) {
  core::core brain{{}};
  fill(brain, 1'000, 8);
  const auto [whole, pages] = through_the_wire(brain, messages::limits::page_bytes_max);
  EXPECT_EQ(whole, brain.view(now));
  EXPECT_EQ(whole.devices.size(), 8'000U);
  EXPECT_GT(pages, 1);
  EXPECT_LT(pages, 40);
}

TEST(Pages, OfOneRowEachMakeTheSameSnapshot) {
  core::core brain{{}};
  fill(brain, 3, 2);
  const auto [whole, pages] = through_the_wire(brain, 1);
  EXPECT_EQ(whole, brain.view(now));
  EXPECT_EQ(pages, 3 + 6 + 2 + 2) << "nodes, devices, models, artifacts";
}

TEST(Pages, RowsThatLeaveBetweenPagesDisturbNoOther) {
  core::core brain{{}};
  fill(brain, 4, 0);
  auto first = brain.view_page({}, 1, now);
  ASSERT_TRUE(first.next);
  feed(brain, core::model_removed{model_name{"first"}});
  core::snapshot whole = first.rows;
  auto rest = brain.view_page(*first.next, 1'000'000, now);
  core::append(whole, std::move(rest.rows));
  EXPECT_EQ(whole, brain.view(now));
}

} // namespace
} // namespace consort
