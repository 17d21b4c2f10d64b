// SPDX-License-Identifier: Apache-2.0
#include "node/admission_limits.hpp"
#include "node/device_ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace consort::node {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

device_spec device(const std::string& name, std::uint64_t memory_bytes = 8 * gib) {
  device_spec made;
  made.id = device_id(name);
  made.node = node_id("n");
  made.memory_bytes = memory_bytes;
  return made;
}

device_share whole(const std::string& name) {
  return {device_id(name), true, 0};
}
device_share part(const std::string& name, std::uint64_t bytes) {
  return {device_id(name), false, bytes};
}

allocation grant(std::uint64_t id, std::uint64_t fence, std::vector<device_share> shares) {
  allocation made;
  made.id = allocation_id(id);
  made.fence = epoch(fence);
  made.shares = std::move(shares);
  return made;
}

/// One node `n`: two plain devices, and npu0 split into two halves and one whole slice that
/// excludes both (named on one side only).
struct DeviceLedger : ::testing::Test {
  DeviceLedger() {
    for (const auto* name : {"n/gpu0", "n/gpu1", "n/npu0"})
      ledger.set_device(device(name));
    for (const auto* name : {"n/npu0.0", "n/npu0.1", "n/npu0.2"}) {
      auto slice = device(name, 4 * gib);
      slice.parent = device_id("n/npu0");
      if (slice.id.value == "n/npu0.2")
        slice.exclusive_siblings = {device_id("n/npu0.0"), device_id("n/npu0.1")};
      ledger.set_device(slice);
    }
  }
  ~DeviceLedger() override { EXPECT_EQ(ledger.check_invariants(), ""); }

  std::string code(const allocation& wanted) {
    const auto got = ledger.reserve(wanted);
    EXPECT_EQ(ledger.check_invariants(), "");
    if (!got) {
      EXPECT_EQ(got.failure().action, recovery::retry_elsewhere);
      EXPECT_FALSE(got.failure().message.empty());
    }
    return got ? "ok" : got.failure().code;
  }

  device_ledger ledger{node_id("n")};
};

TEST_F(DeviceLedger, HoldsAWholeDeviceOnce) {
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu0")})), "ok");
  EXPECT_EQ(code(grant(2, 1, {whole("n/gpu0")})), "device_in_use");
  EXPECT_EQ(code(grant(2, 1, {part("n/gpu0", 1)})), "device_in_use");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 0u);
  EXPECT_EQ(code(grant(2, 1, {whole("n/gpu1")})), "ok");
}

TEST_F(DeviceLedger, MemorySharesFillADeviceToItsLastByteAndNoFurther) {
  EXPECT_EQ(code(grant(1, 1, {part("n/gpu0", 5 * gib)})), "ok");
  EXPECT_EQ(code(grant(2, 1, {part("n/gpu0", 3 * gib + 1)})), "device_memory_short");
  EXPECT_EQ(code(grant(2, 1, {part("n/gpu0", ~std::uint64_t{0})})), "device_memory_short");
  EXPECT_EQ(code(grant(2, 1, {part("n/gpu0", 3 * gib)})), "ok");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 0u);
  EXPECT_EQ(code(grant(3, 1, {whole("n/gpu0")})), "device_in_use");
  EXPECT_TRUE(ledger.release(allocation_id(1), epoch(1)));
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 5 * gib);
}

TEST_F(DeviceLedger, GrantsAllSharesOfThisNodeOrNoneAndIgnoresOtherNodes) {
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu1")})), "ok");
  EXPECT_EQ(code(grant(2, 1, {whole("n/gpu0"), whole("n/gpu1")})), "device_in_use");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 8 * gib);
  EXPECT_EQ(code(grant(3, 1, {whole("n/gpu0"), whole("m/gpu7")})), "ok");
  EXPECT_EQ(code(grant(4, 1, {whole("m/gpu7")})), "allocation_malformed");
}

TEST_F(DeviceLedger, APartitionAndItsBoardExcludeEachOther) {
  EXPECT_EQ(code(grant(1, 1, {part("n/npu0.0", gib)})), "ok");
  EXPECT_EQ(code(grant(2, 1, {whole("n/npu0")})), "device_in_use");
  EXPECT_EQ(code(grant(2, 1, {whole("n/npu0.1")})), "ok");
  ledger.release(allocation_id(1), epoch(1));
  ledger.release(allocation_id(2), epoch(1));
  EXPECT_EQ(code(grant(3, 1, {whole("n/npu0")})), "ok");
  EXPECT_EQ(code(grant(4, 1, {part("n/npu0.1", 1)})), "device_in_use");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/npu0.1")), 0u);
}

TEST_F(DeviceLedger, ExclusiveSiblingsHoldFromBothEnds) {
  EXPECT_EQ(code(grant(1, 1, {whole("n/npu0.2")})), "ok");
  EXPECT_EQ(code(grant(2, 1, {whole("n/npu0.0")})), "device_in_use");
  ledger.release(allocation_id(1), epoch(1));
  EXPECT_EQ(code(grant(2, 1, {whole("n/npu0.0")})), "ok");
  EXPECT_EQ(code(grant(3, 1, {whole("n/npu0.2")})), "device_in_use");
  EXPECT_EQ(code(grant(4, 1, {whole("n/npu0.1"), whole("n/npu0.2")})), "device_in_use");
}

TEST_F(DeviceLedger, RepeatingAGrantIsFineAndChangingItIsNot) {
  EXPECT_EQ(code(grant(1, 1, {part("n/gpu0", gib)})), "ok");
  EXPECT_EQ(code(grant(1, 1, {part("n/gpu0", gib)})), "ok");
  EXPECT_EQ(code(grant(1, 1, {part("n/gpu0", 2 * gib)})), "allocation_changed");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 7 * gib);
}

TEST_F(DeviceLedger, ANewerFenceReplacesTheGrantAndAnOlderOneIsRefused) {
  EXPECT_EQ(code(grant(1, 5, {whole("n/gpu0")})), "ok");
  EXPECT_EQ(code(grant(1, 4, {whole("n/gpu0")})), "allocation_stale");
  EXPECT_EQ(code(grant(1, 6, {whole("n/gpu1")})), "ok");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/gpu0")), 8 * gib);
  EXPECT_FALSE(ledger.release(allocation_id(1), epoch(5)));
  EXPECT_TRUE(ledger.holds(allocation_id(1)));
}

TEST_F(DeviceLedger, ReleaseIsIdempotentAndALateReserveIsRefused) {
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu0")})), "ok");
  EXPECT_TRUE(ledger.release(allocation_id(1), epoch(1)));
  EXPECT_FALSE(ledger.release(allocation_id(1), epoch(1)));
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu0")})), "allocation_stale");
  // Released before it was ever reserved: the two messages crossed.
  EXPECT_FALSE(ledger.release(allocation_id(2), epoch(3)));
  EXPECT_EQ(code(grant(2, 3, {whole("n/gpu0")})), "allocation_stale");
  EXPECT_EQ(code(grant(2, 4, {whole("n/gpu0")})), "ok");
}

TEST_F(DeviceLedger, RefusesWhatItCannotJudge) {
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu9")})), "device_unknown");
  EXPECT_EQ(code(grant(1, 1, {})), "allocation_malformed");
  EXPECT_EQ(code(grant(0, 1, {whole("n/gpu0")})), "allocation_malformed");
  EXPECT_EQ(code(grant(1, 1, {part("n/gpu0", 1), part("n/gpu0", 1)})), "allocation_malformed");
}

TEST_F(DeviceLedger, UnknownMemoryIsNotJudged) {
  ledger.set_device(device("n/cpu0", 0));
  EXPECT_EQ(code(grant(1, 1, {part("n/cpu0", 100 * gib)})), "ok");
  EXPECT_EQ(ledger.memory_free_bytes(device_id("n/cpu0")), std::nullopt);
}

TEST_F(DeviceLedger, ARemovedDeviceNamesItsHolders) {
  EXPECT_EQ(code(grant(7, 1, {part("n/gpu0", gib)})), "ok");
  EXPECT_EQ(code(grant(9, 1, {part("n/gpu0", gib)})), "ok");
  EXPECT_THAT(ledger.remove_device(device_id("n/gpu0")),
              ::testing::ElementsAre(allocation_id(7), allocation_id(9)));
  EXPECT_EQ(code(grant(10, 1, {whole("n/gpu0")})), "device_unknown");
  EXPECT_TRUE(ledger.release(allocation_id(7), epoch(1)));
}

TEST_F(DeviceLedger, HoldsAtMostItsLimitOfAllocations) {
  for (std::uint64_t id = 1; id <= limits::allocations_max; ++id)
    ASSERT_TRUE(ledger.reserve(grant(id, 1, {part("n/gpu0", 1)})).ok());
  EXPECT_EQ(code(grant(999'999, 1, {part("n/gpu1", 1)})), "allocations_full");
}

TEST_F(DeviceLedger, ForgetsTheOldestReleasedFenceFirst) {
  for (std::uint64_t id = 1; id <= limits::released_fences_max + 1; ++id)
    ledger.release(allocation_id(id), epoch(1));
  EXPECT_EQ(code(grant(2, 1, {whole("n/gpu0")})), "allocation_stale");
  EXPECT_EQ(code(grant(1, 1, {whole("n/gpu0")})), "ok");
}

/// Goal: no sequence of grants and releases breaks an invariant, and releasing all frees all.
TEST_F(DeviceLedger, KeepsItsInvariantsUnderRandomTraffic) {
  std::mt19937_64 random(42); // NOLINT: a fixed seed is the point
  const std::vector<std::string> names{"n/gpu0", "n/gpu1", "n/npu0", "n/npu0.0", "n/npu0.2"};
  int granted = 0;
  for (int step = 0; step < 5'000; ++step) {
    const auto id = random() % 40 + 1, fence = random() % 8 + 1;
    if (random() % 3 == 0) {
      ledger.release(allocation_id(id), epoch(fence + static_cast<std::uint64_t>(step)));
    } else {
      const auto& name = names[random() % names.size()];
      const auto share = random() % 4 == 0 ? whole(name) : part(name, random() % (3 * gib));
      granted += ledger.reserve(grant(id, fence + static_cast<std::uint64_t>(step), {share})).ok();
    }
    ASSERT_EQ(ledger.check_invariants(), "") << "step " << step;
  }
  EXPECT_GT(granted, 100);
  for (std::uint64_t id = 1; id <= 40; ++id)
    ledger.release(allocation_id(id), epoch(1'000'000));
  for (const auto& name : names)
    EXPECT_TRUE(ledger.memory_free_bytes(device_id(name)).value_or(0) >= 4 * gib) << name;
}

} // namespace
} // namespace consort::node
