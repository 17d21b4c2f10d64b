// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy_bars.hpp"

#include "scheduler/modules.hpp"

namespace consort::core {

namespace {

bool has_filter(const core_state& s, const selector_row& row, filter_id id) {
  return row.profile != none && (s.profiles[row.profile].filters & bit_of(id)) != 0;
}

/// Whether one that was measured is open to it, whatever runs there now.
bool any_measured(const core_state& s, const model_state& model, const question& asked) {
  for (index place = 0; place < model.endpoints.size(); ++place) {
    const auto& room = model.endpoints.room(place);
    if (room.seq_free >= 0 && room.samples >= limits::explore_samples
        && admits(s, model, asked, place))
      return true;
  }
  return false;
}

} // namespace

index barring_profile(const core_state& s, index profile) {
  return (s.profiles[profile].filters & device_filters) != 0 ? profile : none;
}

bool kept_here(const core_state& s, const selector_row& row, index device) {
  return has_filter(s, row, filter_id::local) && is_remote(s, device) && asks_for(s, row, device);
}

bool wants_steady(const core_state& s, index selector) {
  return has_filter(s, s.selectors[selector], filter_id::steady);
}

bool unsteady_for(const core_state& s, index selector, index device) {
  return s.devices[device].reading.health != device_health::healthy && wants_steady(s, selector);
}

std::uint32_t optional_filters_now(const core_state& s, const model_state& model,
                                   const question& asked) {
  const auto all = asked.how.filters & ~required_filters;
  if ((all & bit_of(filter_id::measured)) == 0)
    return all;
  auto with = asked;
  with.optional = all;
  return any_measured(s, model, with) ? all : all & ~bit_of(filter_id::measured);
}

std::uint32_t filters_now(const core_state& s, const request_row& r) {
  const auto& how = s.profiles[r.profile];
  if ((how.filters & bit_of(filter_id::measured)) == 0)
    return how.filters;
  const barriers nothing;
  return required_filters | question_of(s, r, nothing).optional;
}

std::string bar_advice(const core_state& s, const request_row& r) {
  const auto& name = s.profiles[r.profile].name.value;
  return "; the policy " + name + " has the filter local: ask by another policy"
         + " (X-Consort-Policy), add a device of the cluster, or take that filter out of " + name;
}

} // namespace consort::core
