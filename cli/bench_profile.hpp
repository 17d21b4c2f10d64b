// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `bench --profile FILE`: learns a device model from a live device. Decode steps by the number of
/// streams, prefill by the length of a prompt, written as the simulator's devices read it
/// (scenarios/README.md). Sizes double up to the bounds given.

#include "cli/load_client.hpp"
#include "scenarios/models/rates_cost.hpp"

#include <functional>
#include <string>

namespace consort::cli {

struct learned_profile {
  sim::rate_points points;
  std::string device; ///< That answered; empty where the server does not tell.
};

/// Measures with `load.streams` and `load.input_tokens` as the largest sizes. `run` puts one load
/// on the server, as run_load() does. Returns: an error when a load failed, or told nothing, or
/// several devices answered: a profile is of one.
[[nodiscard]] result<learned_profile>
learn_profile(const load_options& load,
              const std::function<result<load_report>(const load_options&)>& run);

/// What the file says of itself.
[[nodiscard]] std::string profile_origin(const load_options& load, const std::string& device);

/// The file's text; `about` is a line of comment. `model` is told to the simulator, which compares
/// it with what is served on such a device; empty = not known, as of the alias `default`.
[[nodiscard]] std::string profile_text(const sim::rate_points& points, const std::string& about,
                                       const std::string& model);

} // namespace consort::cli
