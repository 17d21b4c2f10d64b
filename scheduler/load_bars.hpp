// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Loads that were refused for good, or of an engine that will not do for one device and serves on
/// another: what would fail again in the same way is not tried again for a
/// while, and whoever waits only for it is told. Rows of a pair of model and device; at most
/// limits::load_bars_max of each. Kept until that very thing loads, the model is declared again,
/// its device's advertisement changes, or limits::load_bar_us is over.

#include "scheduler/modules.hpp"

#include <string>
#include <string_view>

namespace consort::core {

/// Whether such a failure repeats: its device, or what was to be loaded, will not have it. Of a
/// rank on another node than the leader's nobody knows whether other ranks would do.
[[nodiscard]] bool refuses_load(const core_state& s, const instance_row& one,
                                const instance_failure& how);
/// Who keeps the engine that will not do for the instance's device from being built anew: a device
/// that runs it, else a node that has it. Its own node drops what nobody there runs, and says so
/// before. Empty when nobody does, or the engine is not to blame.
[[nodiscard]] std::string keeper_of_unfit(const core_state& s, const instance_row& one,
                                          const error& failure);
/// Counts it; from limits::load_refusals_max in a row on the option is removed.
/// `any_engine`: what was built is not to blame, and nothing else built of the variant would do.
void bar_load(pass& p, index pair, const instance_row& one, const error& failure, bool any_engine);
/// Whether the option's device refused the very thing; its pair need not exist.
[[nodiscard]] bool load_barred(const core_state& s, index model, const option& by);
/// Why, in its vendor's words, of the bar that stands longest; empty = none stands.
[[nodiscard]] std::string_view bar_words(const core_state& s, index model, index device);
/// When that one ends, and what ends it before, to be put behind other words; empty = none stands.
[[nodiscard]] std::string bar_end_words(const core_state& s, index model, index device);
/// It loaded: what was said against it is void.
void lift_bars(core_state& s, pair_state& pair, const instance_row& one);
/// As if no load had failed there. The caller says that something changed.
void forgive_loads(pair_state& pair);
void forgive_loads_on(core_state& s, index device);
/// Takes away what is over. Returns: whether anything was.
bool end_bars(pair_state& pair, time_us now);

} // namespace consort::core
