// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a scenario makes of measured devices that their files do not bear out: another model than
/// the one that was measured, other numbers, other chips. Played all the same, for a neighbour's
/// measurement is often the best there is; but not unsaid. Pure.

#include "scenarios/sim/scenario.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

/// Whether a server's name of a model (`meta-llama/Llama-3.1-8B-Instruct`) may mean that one
/// (`llama-3.1-8b`): letters and digits of one are in the other, whatever their case. What is
/// shorter than four of them must be the same.
[[nodiscard]] bool same_model(std::string_view measured, std::string_view name);

/// One note for each file and thing that does not fit, with the line that names the file.
[[nodiscard]] std::vector<std::string> measured_notes(const scenario& plan);

} // namespace consort::sim
