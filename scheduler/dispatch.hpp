// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Parts of a decision that others need too: what a request asks of an endpoint and which ones it
/// may use. Pure functions over the state.

#include "scheduler/asks.hpp"
#include "scheduler/contexts.hpp"
#include "scheduler/state.hpp"

namespace consort::core {

/// Of starving requests: what they may start on is kept for them.
using barriers = std::vector<barrier>;

inline constexpr std::uint64_t kv_tokens_max = std::uint64_t{1} << 32U; ///< Of one sequence.
inline constexpr duration_us term_us_max = term_ns_max / 1000;

/// Selector, exclusions and kind; nothing about how the device does now.
[[nodiscard]] bool may_serve(const core_state& s, const request_row& r, index device);
/// The same, though it stays here for now.
[[nodiscard]] bool may_serve_away(const core_state& s, const request_row& r, index device);
/// Whether the endpoint can honestly continue the request's stream, begun elsewhere: its runtime is
/// able to, and it runs the same weights, or others of the same quantisation, tokenizer and
/// template.
[[nodiscard]] bool may_resume(const core_state& s, const request_row& r, const endpoint& at);
/// Whether what would be loaded there may serve the request, and continue its stream once text was
/// sent: by what its device's plugin says.
[[nodiscard]] bool may_take_over(const core_state& s, const request_row& r, const option& by);
/// What it asks for that some device does not answer, as bits.
[[nodiscard]] inline std::uint32_t asks_apart(const core_state& s, const request_row& r) {
  return asks::of(r.meta) & s.refused;
}
/// Fewer endpoints may serve it than others of its lane.
[[nodiscard]] inline bool set_apart(const request_row& r) {
  return !r.excluded.empty() || r.emitted > 0;
}
/// Fewer endpoints may serve it than its selector says.
[[nodiscard]] inline bool particular(const core_state& s, const request_row& r) {
  return set_apart(r) || asks_apart(s, r) != 0;
}
/// Same artifact and device model as the last attempt: the same text is promised.
[[nodiscard]] bool resumes_exactly(const core_state& s, const request_row& r, const endpoint& at);
/// Came to begin at once or not at all. Never changes.
[[nodiscard]] inline bool impatient(const request_row& r) {
  return r.meta.wait_us && *r.meta.wait_us <= 0;
}
/// Whether any device could ever serve it, exclusions included.
[[nodiscard]] bool possible_for(const core_state& s, const request_row& r);

/// Tokens of KV without which a request cannot even begin: its prompt, as estimated, and one more;
/// never more than the model's context, for of what exceeds that its engine says at once by how
/// much.
[[nodiscard]] std::int64_t least_kv(const core_state& s, const request_row& r);
/// Whether no engine that is loaded and may serve it has KV for its prompt and a context for it.
[[nodiscard]] bool stranded(const core_state& s, const request_row& r);
/// Whether others of its lane may pass it while it is blocked: they may be served elsewhere.
[[nodiscard]] inline bool passed_by(const core_state& s, const request_row& r) {
  return set_apart(r) || asks_context(s.models[r.model], r) || stranded(s, r);
}
/// Most tokens of KV that one endpoint of the model has there, or may have once it is loaded; -1
/// where it is never loaded: the model has all its replicas, and keeps them.
[[nodiscard]] std::int64_t largest_kv(const core_state& s, index model, index device);
/// As an engine says, or as it was known before.
[[nodiscard]] inline std::uint32_t step_tokens_of(const capacity_figure& read,
                                                  std::uint32_t known) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(read.value.value_or(known), limits::prompt_tokens_max));
}
/// An engine has so many tokens of KV; 0 = unknown.
inline void note_kv(model_state& model, std::uint64_t tokens) {
  if (tokens != 0)
    model.kv_smallest = std::min(model.kv_smallest, static_cast<std::int64_t>(tokens));
}
/// Whether some device that may serve it has KV for its prompt.
[[nodiscard]] bool fits_somewhere(const core_state& s, const request_row& r);

/// What an attempt would hold: a sequence per choice, KV for prompt and answer. An unbounded answer
/// may fill the context. Prefill work is left to the caller.
[[nodiscard]] reservation reservation_for(const core_state& s, const request_row& r,
                                          std::uint32_t itl_ns);

/// Predicted rest of the wait for a device where the model is not ready yet.
[[nodiscard]] duration_us setup_left(const prospect& one, time_us now);
/// Predicted finish there, in nanoseconds.
[[nodiscard]] std::int64_t finish_of(const prospect& one, const work_size& size, time_us now);
/// Of a device where the model is not ready yet, as if it were idle then.
[[nodiscard]] endpoint_figures figures_of(const core_state& s, index model, index device,
                                          const prospect& one, time_us now);

/// Looks at the model again within limits::recheck_us although nothing may happen by then.
void recheck_later(core_state& s, index model, time_us now);

/// What filters look at of what it asks of the device's runtime.
void add_asked(const core_state& s, const request_row& r, index device, candidate_facts& facts);
/// Calls `use(place)` for each endpoint of the model there, of instances that the device leads. Of
/// these a device has few, and the model may have as many as there are devices.
template <class Use>
void each_place_on(const core_state& s, index model, index device, Use&& use) {
  for (const auto instance : s.devices[device].instances)
    if (s.instances[instance].model == model)
      for (const auto place : s.instances[instance].places)
        if (s.models[model].endpoints.at(place).device == device)
          use(place);
}
/// What filters look at of a loaded endpoint.
void add_endpoint_facts(const core_state& s, const request_row& r, const endpoint& at,
                        candidate_facts& facts);
/// Whether it has more endpoints than are looked at one by one, or all explained.
[[nodiscard]] inline bool is_crowd(const model_state& model) {
  return model.endpoints.size() > limits::explain_candidates_max;
}
/// How many candidates are recorded of a ticket of the model, at most.
[[nodiscard]] std::size_t candidates_kept(const model_state& model);
/// Records a decision that issued a ticket; cheap, words come later unless given.
void record_grant(pass& p, index slot, index place, bool explored, std::string_view reason = {});
/// Records why it waits, or why it was turned away. In a crowd only what its own decision weighed:
/// who asks while it waits is told of the others as they are then. `awaited`: all that the reason
/// says, which then is not kept.
void record_wait(core_state& s, index slot, const char* outcome, std::string_view reason,
                 time_us now, const awaited_device& awaited = {});
/// Records why a request was turned away that never got a row.
void record_refusal(core_state& s, const request_meta& meta, std::string_view reason);
/// Tells the gateway why the request waits, when that changed.
void tell_waiting(pass& p, index slot);

} // namespace consort::core
