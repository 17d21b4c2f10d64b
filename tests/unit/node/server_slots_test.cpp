// SPDX-License-Identifier: Apache-2.0
// A server that divides its KV cache among slots: each has the model's whole context.
#include "node/runtimes/server_slots.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

constexpr std::uint64_t mib = 1U << 20U;

/// 1,000 MiB of weights; a context of 1,000 tokens takes 1,000 MiB.
session_request model() {
  session_request made;
  made.variant.weight_bytes = 1'000 * mib;
  made.variant.kv_bytes_per_token = mib;
  made.variant.context_tokens = 1'000;
  return made;
}

TEST(ServerSlots, EachOfThemHasTheWholeContext) {
  auto wanted = model();
  wanted.memory_bytes = 9'000 * mib; // Granted for all of them, on a device that has more.
  const auto all = slots_for(wanted, 8);
  EXPECT_EQ(all.count, 8U);
  EXPECT_EQ(all.context_tokens, 8'000U);
}

TEST(ServerSlots, WhereMemoryIsShortThereAreFewerAndNoneIsSmaller) {
  auto wanted = model();
  wanted.memory_bytes = 5'000 * mib; // A tenth is the engine's own: 4,500 less the weights.
  const auto some = slots_for(wanted, 8);
  EXPECT_EQ(some.count, 3U);
  EXPECT_EQ(some.context_tokens, 3'000U);
  wanted.memory_bytes = 2'000 * mib;
  EXPECT_EQ(slots_for(wanted, 8).count, 1U);
  EXPECT_EQ(slots_for(wanted, 8).context_tokens, 1'000U);
  wanted.memory_bytes = 0; // The whole device.
  wanted.device.memory_bytes = 5'000 * mib;
  EXPECT_EQ(slots_for(wanted, 8).count, 3U);
  wanted.place.degree = 2; // Each device holds half of everything.
  EXPECT_EQ(slots_for(wanted, 8).count, 8U);
}

TEST(ServerSlots, ADeclaredContextCounts) {
  auto wanted = model();
  wanted.memory_bytes = 5'000 * mib;
  wanted.context_tokens = 100;
  EXPECT_EQ(slots_for(wanted, 8).count, 8U);
  EXPECT_EQ(slots_for(wanted, 8).context_tokens, 800U);
}

TEST(ServerSlots, OfUnknownMemoryAsMuchIsTakenAsTheWeightsTake) {
  auto wanted = model();
  EXPECT_EQ(slots_for(wanted, 8).count, 1U);
  wanted.context_tokens = 250;
  EXPECT_EQ(slots_for(wanted, 8).count, 4U);
  wanted.variant.weight_bytes = 0; // Nothing is known at all.
  EXPECT_EQ(slots_for(wanted, 8).count, 8U);
}

TEST(ServerSlots, OneSlotHasTheContextOfAModelThatNobodyKnows) {
  auto wanted = model();
  wanted.variant.context_tokens = 0;
  EXPECT_EQ(slots_for(wanted, 8).count, 1U);
  EXPECT_EQ(slots_for(wanted, 8).context_tokens, 0U);
}

} // namespace
} // namespace consort::node
