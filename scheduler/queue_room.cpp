// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue_room.hpp"

#include "scheduler/waiting.hpp"

#include <algorithm>

namespace consort::core {

namespace {

std::uint32_t waiting_of(const core_state& s, index tenant) {
  return tenant == none ? 0 : s.tenants[tenant].waiting;
}

} // namespace

bool queue_has_room(const core_state& s, const request_row& r) {
  const auto bound = s.config.queue_max;
  const auto kept = bound / limits::queue_reserve_share;
  return s.waiting < bound && (s.waiting < bound - kept || waiting_of(s, r.tenant) < kept);
}

std::optional<duration_us> drained_in(const model_state& model, time_us now) {
  const auto drain = model.queue.predicted_drain(model.queue.size() + 1, now);
  if (!drain)
    return std::nullopt;
  return std::clamp(*drain, limits::retry_after_min_us, limits::retry_after_max_us);
}

ending queue_full_ending(const core_state& s, const request_row& r) {
  ending how{request_outcome::rejected, 429, {}, {}, {}, {}, {}};
  how.retry_after_us = drained_in(s.models[r.model], s.now).value_or(limits::retry_after_min_us);
  how.reason = {recovery::retry_later, "queue_full",
                std::to_string(s.waiting) + " requests are waiting"
                    + (s.waiting < s.config.queue_max
                           ? ", " + std::to_string(waiting_of(s, r.tenant))
                                 + " of this tenant: the last places are kept for others"
                           : ": the queue is full")};
  return how;
}

error requests_full() {
  return {recovery::retry_later, "requests_full", "too many live requests"};
}

std::optional<ending> ends_for_room(const core_state& s, const request_row& r, bool blocked) {
  if (s.requests.live() >= limits::requests_max) {
    ending how{
        request_outcome::rejected, 429, requests_full(), limits::retry_after_min_us, {}, {}, {}};
    return how;
  }
  if ((blocked || !s.models[r.model].queue.empty()) && !queue_has_room(s, r))
    return queue_full_ending(s, r);
  return std::nullopt;
}

time_us expected_start(const core_state& s, const request_row& r, std::uint32_t position,
                       time_us now) {
  const auto& model = s.models[r.model];
  const auto eta_at = why_waits(s, r, now).eta_at;
  if (eta_at == 0)
    return 0;
  // Those ahead are served by all sequences together, each as long as a usual request takes.
  std::int64_t sequences = 0, service_ns = 0;
  const work_size usual{static_cast<std::uint32_t>(model.prompt_tokens),
                        static_cast<std::uint32_t>(model.output_tokens)};
  for (index place = 0; place < model.endpoints.size(); ++place) {
    const auto& at = model.endpoints.at(place);
    if (!at.open || s.selectors[r.selector].matches[at.device] == 0)
      continue;
    const auto slots = model.endpoints.room(place).slots;
    sequences += slots;
    service_ns += std::min(finish_of(model.endpoints.pace(place)).of(usual)
                               - model.endpoints.pace(place).queue_ns,
                           term_ns_max / limits::devices_max)
                  / 1000 * slots;
  }
  const auto start = std::max(eta_at, now);
  if (sequences == 0 || position <= 1)
    return start;
  return start + service_ns / sequences / sequences * (position - 1);
}

} // namespace consort::core
