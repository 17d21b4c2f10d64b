// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What it costs those who run there that tokens are read again which another candidate has cached:
/// their time for each of as many as run at an endpoint in the mean. Nothing where its own first
/// token comes sooner than at the one that has them: then the cache is in too many hands, and is to
/// spread. picks.cpp says when; no endpoint has a part of its own to add.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct reading {
  static constexpr const char* name = "reading";
  static linear_score of(const endpoint_figures& at) { return {at.again_ns, 0, 0}; }
};

} // namespace consort::core::scores
