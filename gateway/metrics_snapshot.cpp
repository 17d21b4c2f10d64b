// SPDX-License-Identifier: Apache-2.0
// What the cluster knows, as metric families built at scrape time. An unknown reading has no line.
#include "gateway/metrics.hpp"

#include <array>
#include <limits>
#include <set>
#include <utility>

namespace consort::gateway {

namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

using label_list = std::vector<prometheus::ClientMetric::Label>;

class family_builder {
public:
  family_builder(const char* name, const char* help, MetricType type) {
    family_.name = std::string("consort_") + name;
    family_.help = help;
    family_.type = type;
  }
  void add(double value, label_list labels = {}) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family_.metric.push_back(std::move(metric));
  }
  /// Requires: a summary. It has no quantiles.
  void add_sum(std::uint64_t count, double sum) {
    prometheus::ClientMetric metric;
    metric.summary.sample_count = count;
    metric.summary.sample_sum = sum;
    family_.metric.push_back(std::move(metric));
  }
  template <class Number>
  void add_known(const std::optional<Number>& value, double factor, const label_list& labels) {
    if (value)
      add(static_cast<double>(*value) * factor, labels);
  }
  MetricFamily take() { return std::move(family_); }

private:
  MetricFamily family_;
};

MetricFamily single(const char* name, const char* help, MetricType type, std::uint64_t value) {
  family_builder out(name, help, type);
  out.add(static_cast<double>(value));
  return out.take();
}

/// Whether the device can be given work at all, and each reason why it may get none or little: one
/// line each, since several may hold.
void add_device_states(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder up("device_up", "1 when the device is believed alive and not unhealthy.",
                    MetricType::Gauge);
  family_builder state("device_state", "1 for each state that the device is in.",
                       MetricType::Gauge);
  for (const auto& device : seen.devices) {
    const auto& id = device.spec.id.value;
    const auto health = device.reading.health;
    const bool unhealthy = health == device_health::unhealthy;
    up.add(device.alive && !unhealthy ? 1 : 0, {{"device", id}});
    const std::array<std::pair<const char*, bool>, 6> states{
        {{"lost", !device.alive},
         {"unhealthy", unhealthy},
         {"degraded", health == device_health::degraded},
         {"draining", device.draining},
         {"cordoned", device.cordoned},
         {"breaker_open", device.breaker != "closed"}}};
    for (const auto& [word, holds] : states)
      state.add(holds ? 1 : 0, {{"device", id}, {"state", word}});
  }
  out.push_back(up.take());
  out.push_back(state.take());
}

void add_devices(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder power("device_power_watts", "Board power.", MetricType::Gauge);
  family_builder memory("device_memory_used_bytes", "Memory in use.", MetricType::Gauge);
  family_builder busy("device_utilization_ratio", "0 to 1.", MetricType::Gauge);
  family_builder warmth("device_temperature_celsius", "Temperature.", MetricType::Gauge);
  family_builder energy("energy_joules_total", "Energy, counted or power times time.",
                        MetricType::Counter);
  family_builder charged("device_charged_joules_total",
                         "Of its energy, what attempts drew above idle power.",
                         MetricType::Counter);
  family_builder idle("device_idle_joules_total", "Of its energy, what no attempt is charged.",
                      MetricType::Counter);
  family_builder cost("cost_total", "Money, in the cluster's currency.", MetricType::Counter);
  family_builder running("device_attempts_running", "Attempts under way.", MetricType::Gauge);
  for (const auto& device : seen.devices) {
    const label_list labels{{"device", device.spec.id.value}};
    const auto& reading = device.reading;
    power.add_known(reading.power_mw, 1e-3, labels);
    memory.add_known(reading.memory_used_bytes, 1, labels);
    busy.add_known(reading.utilization_pm, 1e-3, labels);
    warmth.add_known(reading.temperature_mc, 1e-3, labels);
    energy.add_known(reading.energy_mj, 1e-3, labels);
    charged.add_known(reading.charged_mj, 1e-3, labels);
    idle.add_known(reading.idle_mj, 1e-3, labels);
    cost.add_known(reading.cost_micros, 1e-6, labels);
    running.add(device.running, labels);
  }
  for (auto* family : {&power, &memory, &busy, &warmth, &energy, &charged, &idle, &cost, &running})
    out.push_back(family->take());
}

/// Counters of the engines themselves, as old as the last report of their device.
void add_engines(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder tokens("engine_tokens_total", "Tokens generated.", MetricType::Counter);
  family_builder steps("engine_steps_total", "Batches decoded.", MetricType::Counter);
  family_builder cancelled("engine_cancelled_total", "Requests stopped.", MetricType::Counter);
  family_builder running("engine_sequences_running", "Sequences in work.", MetricType::Gauge);
  family_builder missed("engine_stages_missed_total",
                        "Requests whose encoding or prefill its own server did not do.",
                        MetricType::Counter);
  for (const auto& device : seen.devices) {
    const auto& engine = device.reading.engine;
    if (!engine)
      continue;
    const label_list labels{{"device", device.spec.id.value}};
    tokens.add(static_cast<double>(engine->tokens), labels);
    steps.add(static_cast<double>(engine->steps), labels);
    cancelled.add(static_cast<double>(engine->cancelled), labels);
    running.add(engine->sequences_running, labels);
    missed.add(static_cast<double>(engine->stages_missed), labels);
  }
  for (auto* family : {&tokens, &steps, &cancelled, &running, &missed})
    out.push_back(family->take());
}

/// What a token costs, where the scheduler has learned it.
void add_token_energy(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder energy("token_energy_joules",
                        "Usual energy above idle power for a token written, as learned.",
                        MetricType::Gauge);
  std::set<std::pair<device_id, model_name>> told; // As of predictions.
  for (const auto& one : seen.replicas)
    if (one.energy_uj_per_token > 0 && told.emplace(one.leader, one.model).second)
      energy.add(static_cast<double>(one.energy_uj_per_token) / 1e6,
                 {{"device", one.leader.value}, {"model", one.model.value}});
  out.push_back(energy.take());
}

/// How good the scheduler's predictions are where it has compared any.
void add_predictions(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder error("prediction_error_ratio",
                       "How far predicted times to a first token were off, of what was measured.",
                       MetricType::Gauge);
  family_builder compared("predictions_compared", "Predictions that the ratio is of, at most 8000.",
                          MetricType::Gauge);
  std::set<std::pair<device_id, model_name>>
      told; // The figure is of the pair, not of the instance.
  for (const auto& one : seen.replicas) {
    if (one.predictions == 0 || !told.emplace(one.leader, one.model).second)
      continue;
    label_list labels{{"device", one.leader.value}, {"model", one.model.value}};
    compared.add(one.predictions, labels);
    labels.push_back({"quantile", "0.5"});
    error.add(one.first_error_p50_pm / 1e3, labels);
    labels.back().value = "0.9";
    error.add(one.first_error_p90_pm / 1e3, labels);
  }
  out.push_back(error.take());
  out.push_back(compared.take());
}

void add_builds(const core::snapshot& seen, std::vector<MetricFamily>& out) {
  family_builder builds("artifact_builds_total", "Artifact builds.", MetricType::Counter);
  const auto& counters = seen.counters;
  builds.add(static_cast<double>(counters.builds_started), {{"outcome", "started"}});
  builds.add(static_cast<double>(counters.builds_finished), {{"outcome", "finished"}});
  builds.add(static_cast<double>(counters.builds_failed), {{"outcome", "failed"}});
  out.push_back(builds.take());
  family_builder took("artifact_build_seconds", "Time of finished builds.", MetricType::Summary);
  took.add_sum(counters.builds_finished,
               seconds(static_cast<duration_us>(counters.build_us_total)));
  out.push_back(took.take());
}

} // namespace

std::vector<MetricFamily> figure_families(const std::vector<process_figure>& figures) {
  std::vector<MetricFamily> out;
  for (const auto& figure : figures) {
    const auto name = "consort_" + figure.name;
    if (out.empty() || out.back().name != name) {
      out.emplace_back();
      out.back().name = name;
      out.back().help = figure.help;
      out.back().type = figure.counter ? MetricType::Counter : MetricType::Gauge;
    }
    prometheus::ClientMetric metric;
    for (const auto& [label, value] : figure.labels)
      metric.label.push_back({label, value});
    (figure.counter ? metric.counter.value : metric.gauge.value) = figure.value;
    out.back().metric.push_back(std::move(metric));
  }
  return out;
}

std::vector<MetricFamily> snapshot_families(const core::snapshot& seen) {
  const auto& counters = seen.counters;
  std::vector<MetricFamily> out;
  add_devices(seen, out);
  add_device_states(seen, out);
  add_engines(seen, out);
  add_builds(seen, out);
  add_predictions(seen, out);
  add_token_energy(seen, out);
  out.push_back(single("queue_depth", "Requests waiting in the scheduler.", MetricType::Gauge,
                       seen.queue_depth));
  out.push_back(
      single("queue_depth_max", "Most that may wait.", MetricType::Gauge, seen.queue_depth_max));
  out.push_back(
      single("decisions_total", "Placement decisions.", MetricType::Counter, counters.decisions));
  out.push_back(single("retries_total", "Attempts after one that failed or was lost.",
                       MetricType::Counter, counters.retries));
  out.push_back(single("resumes_total", "Streams continued elsewhere.", MetricType::Counter,
                       counters.resumes));
  out.push_back(single("preemptions_total", "Batch attempts stopped for interactive work.",
                       MetricType::Counter, counters.preemptions));
  out.push_back(single("hedges_total", "Second attempts beside one whose first token was late.",
                       MetricType::Counter, counters.hedges));
  out.push_back(single("hedges_won_total", "Of these, those that served the request.",
                       MetricType::Counter, counters.hedges_won));
  out.push_back(single("model_loads_total", "Replica loads.", MetricType::Counter, counters.loads));
  return out;
}

MetricFamily decision_family(const decision_times& decisions) {
  prometheus::ClientMetric metric;
  auto& histogram = metric.histogram;
  for (std::size_t at = 0; at <= decision_times::bounds.size(); ++at) {
    histogram.sample_count += decisions.count(at);
    const bool last = at == decision_times::bounds.size();
    histogram.bucket.push_back(
        {histogram.sample_count,
         last ? std::numeric_limits<double>::infinity() : decision_times::bounds[at]});
  }
  histogram.sample_sum = decisions.sum_seconds();
  return {"consort_decision_seconds",
          "Steps of the scheduler that decided something.",
          MetricType::Histogram,
          {std::move(metric)}};
}

} // namespace consort::gateway
