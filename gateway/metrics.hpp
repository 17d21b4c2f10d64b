// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Figures for Prometheus. What this gateway measured is counted here; what the cluster knows is
/// taken from a snapshot at scrape time. Label values are bounded: models only by names that the
/// scheduler granted, at most limits::metric_models_max of them (then `other`), and tenants beside
/// them likewise. Thread-safe.

#include "gateway/decision_times.hpp"
#include "gateway/limits.hpp"
#include "scheduler/view.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>

namespace consort::gateway {

/// The series of one model; owned by `metrics`, valid as long as that is.
struct model_series {
  prometheus::Histogram& first_token;
  prometheus::Histogram& inter_token;
  prometheus::Histogram& whole;
  prometheus::Histogram& queued;
  prometheus::Counter& prompt_tokens;
  prometheus::Counter& completion_tokens;
};

/// How an attempt ended, for attempts_total{reason}.
enum class attempt_end { finished, failed, refused, dropped, cancelled };
/// How a request ended at this gateway, for requests_total{outcome}. `invalid` never reached the
/// scheduler.
enum class request_end { finished, failed, cancelled, rejected, expired, invalid };

[[nodiscard]] std::string_view word_of(request_end outcome);

/// One line of `/metrics` about another part of this process. Lines of one name stand together.
struct process_figure {
  std::string name; ///< Without the `consort_` prefix.
  std::string help;
  bool counter = true; ///< Else a gauge.
  std::map<std::string, std::string> labels;
  double value = 0;
};

/// What one attempt drew and cost, as its node told; nullopt = unknown.
struct attempt_charge {
  std::optional<std::uint64_t> energy_mj = {}, cost_micros = {};
};

class metrics {
public:
  metrics();

  /// Requires: the scheduler granted a ticket for this name.
  model_series& of_model(const model_name& model);
  /// One attempt's; what is unknown is not counted. Requires: as of_model.
  void charge(const model_name& model, const tenant_id& tenant, const attempt_charge& told);
  void count(attempt_end reason);
  void count(request_end outcome);
  void running(int change) { running_->Increment(change); }
  void waiting(int change) { waiting_->Increment(change); }
  void connections(int change) { connections_->Increment(change); }
  void displaced() { displaced_->Increment(); }

  /// The exposition text; `seen` null = the scheduler did not answer, `decisions` null = it is not
  /// in this process. `others` are of parts that the gateway does not know.
  [[nodiscard]] std::string render(const core::snapshot* seen,
                                   const decision_times* decisions = nullptr,
                                   const std::vector<process_figure>& others = {}) const;

private:
  template <class Type>
  using family = prometheus::Family<Type>*;

  prometheus::Registry registry_;
  family<prometheus::Histogram> first_token_, inter_token_, whole_, queued_;
  /// The counters of one model and tenant; null until there is something to count.
  struct charge_series {
    prometheus::Counter* energy = nullptr;
    prometheus::Counter* cost = nullptr;
  };

  family<prometheus::Counter> tokens_, attempts_, requests_, energy_, cost_;
  prometheus::Gauge* running_;
  prometheus::Gauge* waiting_;
  prometheus::Gauge* connections_;
  prometheus::Counter* displaced_;
  std::mutex mutex_;
  std::map<std::string, model_series> models_;
  std::map<std::pair<std::string, std::string>, charge_series> charges_; ///< By model and tenant.
};

/// Families of what the snapshot shows: devices, queue, replicas, builds. Pure.
[[nodiscard]] std::vector<prometheus::MetricFamily> snapshot_families(const core::snapshot& seen);
[[nodiscard]] std::vector<prometheus::MetricFamily>
figure_families(const std::vector<process_figure>& figures);
/// decision_seconds.
[[nodiscard]] prometheus::MetricFamily decision_family(const decision_times& decisions);

/// Seconds of a span.
[[nodiscard]] inline double seconds(duration_us span) {
  return static_cast<double>(span) / 1e6;
}

} // namespace consort::gateway
