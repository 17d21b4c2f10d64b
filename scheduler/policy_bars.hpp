// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the optional filters of a policy mean beyond the choice among endpoints: `local` and
/// `steady` say which devices may serve at all, or now, so that nothing is loaded on others for
/// who asks by it; `measured` is asked only while it leaves somebody. Pure functions of the core's
/// state.

#include "scheduler/picks.hpp"

namespace consort::core {

/// Requests by a profile with one of these have a selector row of their own.
inline constexpr std::uint32_t device_filters
    = bit_of(filter_id::local) | bit_of(filter_id::steady);

/// The profile whose device_filters go with the selector; none when it has none of them.
[[nodiscard]] index barring_profile(const core_state& s, index profile);
/// The row's selector and labels admit the device, which is a remote API, and its policy keeps
/// requests here.
[[nodiscard]] bool kept_here(const core_state& s, const selector_row& row, index device);
/// The selector's policy wants healthy devices, and it is none now.
[[nodiscard]] bool unsteady_for(const core_state& s, index selector, index device);
/// Whether the selector's policy wants healthy devices.
[[nodiscard]] bool wants_steady(const core_state& s, index selector);

/// Which optional filters are asked of its candidates, by bit: those of its profile, but `measured`
/// only where an open endpoint that may serve it was measured. Else nobody would ever be sent to
/// any of them, and none ever measured. O(endpoints) with `measured`, until one is found.
[[nodiscard]] std::uint32_t optional_filters_now(const core_state& s, const model_state& model,
                                                 const question& asked);
/// The same with those that are always asked, of a request that is not being decided.
[[nodiscard]] std::uint32_t filters_now(const core_state& s, const request_row& r);

/// Behind a 422 whose devices were kept out by the policy's filter `local`: what to do.
[[nodiscard]] std::string bar_advice(const core_state& s, const request_row& r);

} // namespace consort::core
