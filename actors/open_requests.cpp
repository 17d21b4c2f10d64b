// SPDX-License-Identifier: Apache-2.0
#include "actors/open_requests.hpp"

#include <algorithm>
#include <utility>

namespace consort::actors {

namespace {

std::optional<duration_us> left_of(const std::optional<duration_us>& span, duration_us passed) {
  if (!span || *span == 0) // "Now or never" stays so.
    return span;
  return std::max<duration_us>(*span - passed, 1);
}

} // namespace

bool open_requests::add(const request_meta& meta, listener_ptr listener, time_us now) {
  if (entries_.size() >= most_)
    return false;
  auto& made = entries_[meta.id.sequence];
  made.meta = meta;
  made.listener = std::move(listener);
  made.since = now;
  return true;
}

open_requests::entry* open_requests::find(const request_id& request) {
  const auto found = entries_.find(request.sequence);
  return found == entries_.end() ? nullptr : &found->second;
}

open_requests::listener_ptr open_requests::listener_of(const request_id& request) const {
  const auto found = entries_.find(request.sequence);
  return found == entries_.end() ? nullptr : found->second.listener;
}

void open_requests::granted(const core::grant_ticket& told) {
  auto* request = find(told.granted.attempt.request);
  if (request == nullptr)
    return;
  request->attempts = told.granted.attempt.number;
  const bool beside = told.hedge && request->running;
  (beside ? request->hedge : request->running) = told.granted;
  if (!beside)
    request->hedge.reset();
}

void open_requests::dropped(const attempt_id& attempt) {
  ended(attempt);
}

void open_requests::ended(const attempt_id& attempt) {
  auto* request = find(attempt.request);
  if (request == nullptr)
    return;
  if (request->running && request->running->attempt == attempt)
    request->running = std::exchange(request->hedge, {});
  else if (request->hedge && request->hedge->attempt == attempt)
    request->hedge.reset();
}

void open_requests::reported(const gateway::gateway_report& happened) {
  if (const auto* cancelled = std::get_if<core::request_cancelled>(&happened))
    forget(cancelled->request);
  if (const auto* finished = std::get_if<core::attempt_finished>(&happened))
    forget(finished->attempt.request);
  if (const auto* progressed = std::get_if<core::attempt_progressed>(&happened))
    if (auto* request = find(progressed->attempt.request)) {
      request->emitted_tokens = progressed->completion_tokens;
      if (request->hedge && request->hedge->attempt == progressed->attempt)
        request->running = request->hedge;
      request->hedge.reset();
    }
  if (const auto* failed = std::get_if<core::attempt_failed>(&happened)) {
    if (auto* request = find(failed->attempt.request))
      request->emitted_tokens = failed->emitted_tokens;
    ended(failed->attempt);
  }
}

std::vector<core::event> open_requests::restored(time_us now) const {
  std::vector<core::event> told;
  told.reserve(entries_.size());
  for (const auto& [sequence, request] : entries_) {
    core::request_restored one;
    one.meta = request.meta;
    one.meta.deadline_us = left_of(request.meta.deadline_us, now - request.since);
    one.meta.wait_us = left_of(request.meta.wait_us, now - request.since);
    one.attempts = request.attempts;
    one.emitted_tokens = request.emitted_tokens;
    one.running = request.running;
    told.emplace_back(std::move(one));
  }
  return told;
}

} // namespace consort::actors
