// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <array>

namespace consort::gateway {

namespace {

using prometheus::Histogram;

/// From a first token out of a cache to one behind a long load; seconds.
const Histogram::BucketBoundaries wait_buckets{
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
const Histogram::BucketBoundaries token_buckets{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                0.025,  0.05,    0.1,    0.25,  0.5,    1,     2.5};

template <class Builder>
auto* make(Builder builder, prometheus::Registry& registry, const char* name, const char* help) {
  return &builder.Name(std::string("consort_") + name).Help(help).Register(registry);
}

constexpr std::array<std::string_view, 5> attempt_words{"finished", "failed", "refused", "dropped",
                                                        "cancelled"};
constexpr std::array<std::string_view, 6> request_words{"finished", "failed",  "cancelled",
                                                        "rejected", "expired", "invalid"};

} // namespace

std::string_view word_of(request_end outcome) {
  return request_words[static_cast<std::size_t>(outcome)];
}

metrics::metrics()
    : first_token_(make(prometheus::BuildHistogram(), registry_, "time_to_first_token_seconds",
                        "Request arrival to first token.")),
      inter_token_(make(prometheus::BuildHistogram(), registry_, "inter_token_latency_seconds",
                        "Between tokens of one choice.")),
      whole_(make(prometheus::BuildHistogram(), registry_, "e2e_request_latency_seconds",
                  "Request arrival to last byte.")),
      queued_(make(prometheus::BuildHistogram(), registry_, "queue_wait_seconds",
                   "Request arrival to its first ticket.")),
      tokens_(make(prometheus::BuildCounter(), registry_, "tokens_total",
                   "Tokens of finished requests.")),
      attempts_(make(prometheus::BuildCounter(), registry_, "attempts_total",
                     "Attempts by how they ended.")),
      requests_(make(prometheus::BuildCounter(), registry_, "requests_total",
                     "Requests by how they ended.")),
      energy_(make(prometheus::BuildCounter(), registry_, "request_energy_joules_total",
                   "Drawn by attempts above idle power, where this gateway heard it.")),
      cost_(make(prometheus::BuildCounter(), registry_, "request_cost_total",
                 "Paid for tokens of attempts, where this gateway heard it.")),
      running_(&make(prometheus::BuildGauge(), registry_, "requests_running",
                     "Requests of this gateway with an attempt under way.")
                    ->Add({})),
      waiting_(&make(prometheus::BuildGauge(), registry_, "requests_waiting",
                     "Requests of this gateway without a ticket.")
                    ->Add({})),
      connections_(
          &make(prometheus::BuildGauge(), registry_, "http_connections", "Open connections.")
               ->Add({})),
      displaced_(&make(prometheus::BuildCounter(), registry_, "http_connections_displaced_total",
                       "Connections without a request that made room for others.")
                      ->Add({})) {
  for (const auto word : attempt_words)
    attempts_->Add({{"reason", std::string(word)}});
  for (const auto word : request_words)
    requests_->Add({{"outcome", std::string(word)}});
}

model_series& metrics::of_model(const model_name& model) {
  const std::lock_guard lock(mutex_);
  const auto known = models_.find(model.value);
  if (known != models_.end())
    return known->second;
  const auto name = models_.size() < limits::metric_models_max ? model.value : std::string("other");
  const prometheus::Labels labels{{"model", name}};
  const auto kind = [&](const char* word) -> prometheus::Counter& {
    return tokens_->Add({{"model", name}, {"kind", word}});
  };
  return models_
      .try_emplace(name, model_series{first_token_->Add(labels, wait_buckets),
                                      inter_token_->Add(labels, token_buckets),
                                      whole_->Add(labels, wait_buckets),
                                      queued_->Add(labels, wait_buckets), kind("prompt"),
                                      kind("completion")})
      .first->second;
}

void metrics::charge(const model_name& model, const tenant_id& tenant, const attempt_charge& told) {
  if (!told.energy_mj && !told.cost_micros)
    return;
  const std::lock_guard lock(mutex_);
  std::pair names{model.value, tenant.value};
  if (!charges_.contains(names) && charges_.size() >= limits::metric_charges_max)
    names = {"other", "other"};
  auto& charged = charges_[names];
  const auto count = [&](const auto& of, prometheus::Counter*& counter, double more) {
    if (counter == nullptr)
      counter = &of->Add({{"model", names.first}, {"tenant", names.second}});
    counter->Increment(more);
  };
  if (told.energy_mj)
    count(energy_, charged.energy, static_cast<double>(*told.energy_mj) / 1e3);
  if (told.cost_micros)
    count(cost_, charged.cost, static_cast<double>(*told.cost_micros) / 1e6);
}

void metrics::count(attempt_end reason) {
  attempts_->Add({{"reason", std::string(attempt_words[static_cast<std::size_t>(reason)])}})
      .Increment();
}

void metrics::count(request_end outcome) {
  requests_->Add({{"outcome", std::string(word_of(outcome))}}).Increment();
}

std::string metrics::render(const core::snapshot* seen, const decision_times* decisions,
                            const std::vector<process_figure>& others) const {
  auto families = registry_.Collect();
  if (seen != nullptr)
    for (auto& seen_family : snapshot_families(*seen))
      families.push_back(std::move(seen_family));
  if (decisions != nullptr)
    families.push_back(decision_family(*decisions));
  for (auto& other : figure_families(others))
    families.push_back(std::move(other));
  return prometheus::TextSerializer().Serialize(families);
}

} // namespace consort::gateway
