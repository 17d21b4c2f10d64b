// SPDX-License-Identifier: Apache-2.0
#include "scheduler/promises.hpp"

#include <gtest/gtest.h>

namespace consort::core {
namespace {

constexpr int kept_for_one = 1000 / (1000 - limits::slo_kept_pm); ///< Until one may be broken.

void ended(promise_ledger& ledger, int count, promised how, bool in_time) {
  for (int i = 0; i < count; ++i)
    ledger.ended(how, in_time);
}

TEST(Promises, OneMayBeBrokenForSoManyKept) {
  promise_ledger ledger;
  ended(ledger, kept_for_one - 1, promised::in_time, true);
  EXPECT_FALSE(ledger.spares_one());
  ledger.ended(promised::in_time, true);
  EXPECT_TRUE(ledger.spares_one());
  ledger.waive();
  EXPECT_FALSE(ledger.spares_one()) << "before that one has ended";
  EXPECT_EQ(ledger.credit_pm(), 0);
}

TEST(Promises, WhatWasInTimeAfterAllIsGivenBack) {
  promise_ledger ledger;
  ended(ledger, kept_for_one, promised::in_time, true);
  ledger.waive();
  ledger.ended(promised::late, false);
  EXPECT_FALSE(ledger.spares_one());
  ended(ledger, kept_for_one, promised::in_time, true);
  ledger.waive();
  ledger.ended(promised::late, true);
  EXPECT_TRUE(ledger.spares_one());
}

TEST(Promises, NoMoreAreSavedUpThanMayBeBrokenInARow) {
  promise_ledger ledger;
  ended(ledger, 1'000'000, promised::in_time, true);
  for (int i = 0; i < limits::slo_spare_max; ++i) {
    EXPECT_TRUE(ledger.spares_one());
    ledger.waive();
  }
  EXPECT_FALSE(ledger.spares_one());
  EXPECT_EQ(ledger.gap_pm(), limits::slo_gap_pm);
}

TEST(Promises, BrokenOnesAreMadeUpForByMoreRoom) {
  promise_ledger ledger;
  auto before = ledger.gap_pm();
  EXPECT_EQ(before, limits::slo_gap_pm);
  for (int i = 0; i < 10; ++i) {
    ledger.ended(promised::in_time, false);
    EXPECT_LT(ledger.gap_pm(), before);
    before = ledger.gap_pm();
  }
  ended(ledger, 1'000'000, promised::in_time, false);
  EXPECT_EQ(ledger.gap_pm(), limits::slo_gap_pm_min);
  ended(ledger, static_cast<int>(limits::slo_debt_max) * kept_for_one, promised::in_time, true);
  EXPECT_EQ(ledger.gap_pm(), limits::slo_gap_pm) << "no more than so many are owed";
}

TEST(Promises, WhoNobodyCouldServeInTimeSaysNothing) {
  promise_ledger ledger;
  ended(ledger, 1'000, promised::nothing, false);
  EXPECT_EQ(ledger.gap_pm(), limits::slo_gap_pm);
  ended(ledger, 1'000, promised::nothing, true);
  EXPECT_FALSE(ledger.spares_one());
}

} // namespace
} // namespace consort::core
