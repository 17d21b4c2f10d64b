// SPDX-License-Identifier: Apache-2.0
// The list of live requests, of which there may be more than anybody wants to see: by page, and of
// some kinds only.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

constexpr std::size_t plenty = 10'000'000; ///< Bytes of a page.

/// So many that wait for a first device.
void waiting(core_fixture& t, std::size_t count) {
  t.join("local");
  t.declare(story_spec());
  for (std::size_t each = 0; each < count; ++each)
    t.submit();
  t.drop_all();
}

/// How many of the live requests are listed, and whether that is what is said of their number.
std::size_t listed(core_fixture& t, const requests_wish& wish) {
  const auto page = t.tested().requests(wish, plenty, t.now());
  EXPECT_EQ(page.rows.requests.size(), page.rows.requests_total);
  EXPECT_FALSE(page.next);
  return page.rows.requests.size();
}

TEST(RequestList, GoesOnBehindEachPageToTheEnd) {
  constexpr auto count = limits::requests_page_max + 30;
  core_fixture t;
  waiting(t, count);
  requests_wish wish;
  wish.limit = 10 * limits::requests_page_max;
  auto page = t.tested().requests(wish, plenty, t.now());
  ASSERT_EQ(page.rows.requests.size(), limits::requests_page_max);
  EXPECT_EQ(page.rows.requests_total, count);
  EXPECT_EQ(page.rows.requests.front().external_id, "r1") << "the oldest";
  ASSERT_TRUE(page.next);
  EXPECT_EQ(page.next->number, page.rows.requests.back().number);
  wish.after = page.next->number;
  page = t.tested().requests(wish, plenty, t.now());
  EXPECT_EQ(page.rows.requests.size(), 30U);
  EXPECT_EQ(page.rows.requests.back().external_id, "r" + std::to_string(count));
  EXPECT_EQ(page.rows.requests_total, count);
  EXPECT_FALSE(page.next);
}

TEST(RequestList, ASnapshotHasTheOldestAndTheNumberOfAll) {
  core_fixture t;
  waiting(t, limits::snapshot_requests_max + 5);
  const auto seen = t.view();
  EXPECT_EQ(seen.requests.size(), limits::snapshot_requests_max);
  EXPECT_EQ(seen.requests_total, limits::snapshot_requests_max + 5);
}

TEST(RequestList, APageEndsWhereItsBytesDo) {
  core_fixture t;
  waiting(t, 3);
  requests_wish wish;
  for (int each = 1; each <= 3; ++each) {
    const auto page = t.tested().requests(wish, 1, t.now());
    ASSERT_EQ(page.rows.requests.size(), 1U);
    EXPECT_EQ(page.rows.requests[0].external_id, "r" + std::to_string(each));
    ASSERT_EQ(page.next.has_value(), each < 3);
    wish.after = page.rows.requests[0].number;
  }
}

/// One CPU, which takes five at once.
void one_busy_device(core_fixture& t) {
  t.join("local");
  t.advertise(cpu_spec());
  auto model = story_spec();
  model.aliases = {model_name{"default"}};
  model.replicas_min = 1;
  t.declare(model);
  t.finish_load();
}

TEST(RequestList, OfSomeKindsOnly) {
  core_fixture t;
  one_busy_device(t);
  for (int each = 0; each < 7; ++each) {
    auto meta = t.request();
    meta.tenant = tenant_id{each < 6 ? "team-a" : "team-b"};
    meta.priority = each < 4 ? priority_class::standard : priority_class::batch;
    t.submit(meta);
  }
  t.drop_all();
  const auto of = [](auto set) {
    requests_wish wish;
    set(wish);
    return wish;
  };
  EXPECT_EQ(listed(t, of([](auto&) {})), 7U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.state = "running"; })), 5U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.state = "queued"; })), 2U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.tenant = tenant_id{"team-b"}; })), 1U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.priority = "batch"; })), 3U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.model = model_name{"default"}; })), 7U);
  EXPECT_EQ(listed(t, of([](auto& w) { w.model = model_name{"tales"}; })), 0U);
  EXPECT_EQ(listed(t, of([](auto& w) {
                     w.priority = "batch";
                     w.tenant = tenant_id{"team-a"};
                   })),
            2U);
}

TEST(RequestList, SaysWhoseItIsAndByWhenItIsWanted) {
  core_fixture t;
  one_busy_device(t);
  auto meta = t.request();
  meta.tenant = tenant_id{"team-a"};
  meta.priority = priority_class::interactive;
  meta.deadline_us = 5 * second;
  t.submit(meta);
  t.submit();
  t.drop_all();
  t.pass_time(second);
  const auto seen = t.view().requests;
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].tenant.value, "team-a");
  EXPECT_EQ(seen[0].priority, "interactive");
  EXPECT_EQ(seen[0].deadline_left_us, 4 * second);
  EXPECT_LT(seen[0].number, seen[1].number);
  EXPECT_EQ(seen[1].priority, "standard");
  EXPECT_FALSE(seen[1].deadline_left_us);
  EXPECT_EQ(t.tested().explain(meta.external_id, t.now())->request, seen[0]);
}

} // namespace

} // namespace consort::core::testing
