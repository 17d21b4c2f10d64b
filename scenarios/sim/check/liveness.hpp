// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Everything ends: when the liveness phase is over, no request is left inside the core. What is
/// left is diagnosed with the core's own reasons, so that a scenario that cannot finish says why.

#include "scenarios/sim/observer.hpp"

#include <functional>

namespace consort::sim {

class liveness_checker : public checker {
public:
  using explainer = std::function<std::optional<core::explanation>(const std::string&)>;
  /// `explain` asks the core why, by a request's external id.
  explicit liveness_checker(explainer explain) : explain_(std::move(explain)) {}

  void on_end(const core::snapshot& seen, time_us now) override;

private:
  explainer explain_;
};

} // namespace consort::sim
