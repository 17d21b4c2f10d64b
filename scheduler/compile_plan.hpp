// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What building a model ahead for some devices would come to, or fetching its weights: for
/// `consort compile --dry-run`, and to refuse what cannot be built. Pure; works on a snapshot, so
/// that it can be asked anywhere.

#include "scheduler/view.hpp"

namespace consort::core {

/// One device that was selected, and what it would load.
struct planned_build {
  device_id device;
  /// `ready`, `building`, `build`, `fetch`, `failed`, `no-compiler`, or `as-is`: it runs weights
  /// that are there. Of weights that have to come from elsewhere `building` is their fetch.
  std::string state;
  build_profile profile; ///< Default for `as-is`; weights_profile() where weights are fetched.
  node_id where;      ///< Who has, builds or would build it; empty for `as-is` and `no-compiler`.
  std::string detail; ///< For people: the last error, what a build waits for, the digest (also of
                      ///< what was gone back to, and by whom that was built), how long is left.
  friend bool operator==(const planned_build&, const planned_build&) = default;
};

/// In order of device; `model` may be an alias or adapter. Errors: `model_unknown` (refuse, with
/// the nearest names), what selector::parse says, `nothing_selected` (refuse) when no device
/// matches.
[[nodiscard]] result<std::vector<planned_build>>
plan_compile(const snapshot& seen, const model_name& model, const std::string& devices);

} // namespace consort::core
