// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The configuration file of a rehearsal's processes: what a scenario says of the scheduler and of
/// models, in the words of a real cluster's file, so that the production parser reads it. Pure.

#include "scenarios/sim/scenario.hpp"

#include <functional>
#include <string>

namespace consort::live {

/// JSON. `policy`: of requests that name none. `source_of`: where a model's card is.
[[nodiscard]] std::string
configuration_of(const sim::scenario& plan, const std::string& policy,
                 const std::function<std::string(const sim::scenario_model&)>& source_of);

} // namespace consort::live
