// SPDX-License-Identifier: Apache-2.0
#include "tests/quality/policy_world.hpp"

#include "scheduler/energy_split.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace consort::quality {

namespace {

constexpr std::size_t tenants = 8;
constexpr duration_us read_every_us = core::limits::second_us; ///< Each meter.
constexpr time_us never = std::numeric_limits<time_us>::max();

double quantile(std::vector<double>& values, double at) {
  if (values.empty())
    return 0;
  const auto place = static_cast<std::ptrdiff_t>(at * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + place, values.end());
  return values[static_cast<std::size_t>(place)];
}

/// (sum x)^2 / (n * sum x^2).
double jain(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const auto one : values) {
    sum += one;
    squares += one * one;
  }
  return squares == 0 ? 1 : sum * sum / (static_cast<double>(values.size()) * squares);
}

/// What the fleet's meters show at a moment, summed.
struct meter {
  double at_s = 0, joules = 0, money = 0, busy_s = 0;
  meter() = default;
  meter(const std::vector<engine>& fleet, time_us now) : at_s(static_cast<double>(now) / 1e6) {
    for (const auto& one : fleet) {
      joules += one.joules(now);
      money += one.money();
      busy_s += one.busy_s() / static_cast<double>(fleet.size());
    }
  }
  meter operator-(const meter& before) const {
    auto made = *this;
    made.at_s -= before.at_s;
    made.joules -= before.joules;
    made.money -= before.money;
    made.busy_s -= before.busy_s;
    return made;
  }
};

std::pair<time_us, std::size_t> first_step(const std::vector<engine>& engines) {
  std::pair<time_us, std::size_t> best{never, 0};
  for (std::size_t at = 0; at < engines.size(); ++at)
    if (const auto next = engines[at].next(); next && *next < best.first)
      best = {*next, at};
  return best;
}

figures figures_of(const std::vector<arrival>& arrivals, const std::vector<outcome>& outcomes,
                   std::size_t skip, const meter& spent) {
  figures made;
  std::vector<double> first_ms, gap_ms, rates(tenants), counts(tenants);
  double met = 0, cached = 0, prompts = 0;
  const core::slo_target promised;
  for (const auto& one : outcomes)
    made.engine_of.push_back(one.engine);
  for (auto at = skip; at < outcomes.size(); ++at) {
    const auto& one = outcomes[at];
    const auto& work = arrivals[at];
    if (one.refused)
      continue; // A miss, and nothing else.
    const auto first_us = static_cast<double>(one.first - one.submitted);
    const auto gap_us
        = work.output < 2 ? 0. : static_cast<double>(one.ended - one.first) / (work.output - 1.);
    first_ms.push_back(first_us / 1e3);
    if (work.output > 1)
      gap_ms.push_back(gap_us / 1e3);
    const auto bound
        = static_cast<double>(promised.ttft_us)
          + static_cast<double>(promised.ttft_per_1000_us) * (work.prompt - one.cached) / 1e3;
    met += first_us <= bound && gap_us <= static_cast<double>(promised.itl_us) ? 1 : 0;
    made.tokens += work.output;
    made.tokens_by_engine.resize(std::max(made.tokens_by_engine.size(), one.engine + 1));
    made.tokens_by_engine[one.engine] += work.output;
    cached += one.cached;
    prompts += work.prompt;
    rates[at % tenants] += work.output * 1e6 / static_cast<double>(one.ended - one.submitted);
    ++counts[at % tenants];
  }
  for (std::size_t at = 0; at < tenants; ++at)
    rates[at] /= std::max(counts[at], 1.);
  made.span_s = spent.at_s;
  made.joules = spent.joules;
  made.money = spent.money;
  made.busy_share = spent.busy_s / spent.at_s;
  made.slo_share = met / static_cast<double>(outcomes.size() - skip);
  made.cached_share = cached / std::max(prompts, 1.);
  made.fairness = jain(rates);
  made.first_p50_ms = quantile(first_ms, 0.5);
  made.first_p99_ms = quantile(first_ms, 0.99);
  made.gap_p50_ms = quantile(gap_ms, 0.5);
  made.gap_p99_ms = quantile(gap_ms, 0.99);
  return made;
}

class run {
public:
  run(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
      const std::string& policy, std::size_t skip)
      : arrivals_(arrivals),
        outcomes_(arrivals.size()),
        core_(settings(policy)),
        engines_(fleet.begin(), fleet.end()),
        skip_(skip) {
    for (const auto& one : engines_)
      meters_.emplace_back(one.sheet().idle_mw);
    declare();
  }

  figures play() {
    std::size_t next = 0;
    const auto begun = now_;
    meter seen;
    while (open_ > 0 || next < arrivals_.size()) {
      const auto arrives = next < arrivals_.size() ? begun + arrivals_[next].at : never;
      const auto steps = first_step(engines_);
      const auto due = std::min({core_.next_deadline().value_or(never), renew_at_, read_at_});
      now_ = std::max(now_, std::min({arrives, steps.first, due}));
      if (arrives == now_) {
        if (next == skip_)
          seen = meter(engines_, now_);
        submit(next++);
      } else if (steps.first <= now_)
        step(steps.second);
      else if (read_at_ <= now_)
        read_meters();
      else
        look();
    }
    auto made = figures_of(arrivals_, outcomes_, skip_, meter(engines_, now_) - seen);
    read_meters();
    const meter whole(engines_, now_);
    made.told_share = told_mj_ / 1e3 / whole.joules;
    for (const auto& one : meters_)
      made.idle_share += static_cast<double>(one.idle_mj().value_or(0)) / 1e3 / whole.joules;
    return made;
  }

private:
  static core::core_config settings(const std::string& policy) {
    core::core_config made;
    made.policy = policy_name{policy};
    made.queue_max = 1'000'000;
    made.queue_timeout_us = 3'600 * core::limits::second_us;
    return made;
  }

  void declare() {
    feed(core::node_joined{node_id{"n"}, incarnation{1}, "n:1", {}, {}});
    model_spec model;
    model.name = model_name{"llama"};
    auto& variant = model.variants.emplace_back();
    variant.format = "gguf";
    variant.content = digest{std::string(64, 'a')};
    variant.weight_bytes = std::uint64_t{16} << 30U;
    model.replicas_min = static_cast<std::uint32_t>(engines_.size());
    for (std::size_t at = 0; at < engines_.size(); ++at)
      advertise(at);
    feed(core::model_declared{model});
    while (loaded_ < engines_.size()) {
      now_ += 10'000;
      look();
    }
  }
  void advertise(std::size_t at) {
    device_spec spec;
    spec.id = device_id{"n/d" + std::to_string(at)};
    spec.node = node_id{"n"};
    spec.type = engines_[at].of().kind == "gpu" ? resource_type::gpu : resource_type::npu;
    spec.model = engines_[at].of().name;
    spec.capability.formats = {"gguf"};
    spec.capability.max_sequences = engines_[at].sequences_max();
    spec.spec = engines_[at].sheet();
    feed(core::device_advertised{spec, incarnation{1}});
  }

  void submit(std::size_t at) {
    const auto& work = arrivals_[at];
    request_meta meta;
    meta.id = {gateway_id{1}, at + 1};
    meta.external_id = std::to_string(at);
    meta.model = model_name{"llama"};
    meta.tenant = tenant_id{"t" + std::to_string(at % tenants)};
    meta.prompt_tokens = work.prompt;
    meta.prefix_blocks = work.blocks;
    outcomes_[at].submitted = now_;
    ++open_;
    feed(core::request_submitted{std::move(meta)});
  }
  void look() {
    if (now_ >= renew_at_) {
      renew_at_ = now_ + core::limits::second_us;
      feed(core::lease_renewed{node_id{"n"}, incarnation{1}});
    } else {
      feed(core::tick{});
    }
  }

  void read_meters() {
    for (std::size_t at = 0; at < engines_.size(); ++at)
      meters_[at].read(now_,
                       static_cast<std::uint64_t>(std::llround(engines_[at].joules(now_) * 1e3)));
    read_at_ = now_ + read_every_us;
  }

  void step(std::size_t at) {
    happened_.clear();
    engines_[at].step(happened_);
    const auto seen = happened_;
    for (const auto& one : seen)
      tell(one);
  }
  void tell(const engine_event& one) {
    auto& out = outcomes_[one.request];
    const attempt_id attempt{{gateway_id{1}, one.request + 1}, out.attempt};
    if (one.what == engine_event::kind::first_token)
      out.first = now_;
    if (one.what != engine_event::kind::finished)
      return feed(core::attempt_progressed{attempt, one.tokens});
    out.ended = now_;
    out.cached = one.cached;
    --open_;
    attempt_measurement measured;
    measured.usage = {arrivals_[one.request].prompt, one.tokens, one.cached};
    measured.first_token_us = out.first - out.granted;
    measured.total_us = now_ - out.granted;
    measured.batch = one.batch;
    if (const auto drawn_uj = meters_[out.engine].end(attempt, now_)) {
      measured.energy_mj = (*drawn_uj + 500) / 1'000;
      told_mj_ += static_cast<double>(*measured.energy_mj);
    }
    feed(core::attempt_finished{attempt, measured});
  }

  void feed(const core::event& happened) {
    std::vector<core::command> out;
    core_.step(happened, now_, out);
    for (const auto& one : out)
      obey(one);
  }
  void obey(const core::command& one) {
    if (const auto* asked = std::get_if<core::reserve_allocation>(&one))
      return feed(core::allocation_reserved{asked->grant.id, asked->node, incarnation{1},
                                            asked->grant.fence});
    if (const auto* load = std::get_if<core::load_replica>(&one)) {
      const auto at = index_of(load->grant.shares.front().device);
      capacity_vector capacity;
      capacity.sequences.value = engines_[at].sequences_max();
      capacity.kv_tokens.value = engines_[at].kv_tokens();
      ++loaded_;
      return feed(core::replica_loaded{load->instance, incarnation{1}, {capacity}, {}, 1'000});
    }
    if (const auto* granted = std::get_if<core::grant_ticket>(&one)) {
      const auto request = granted->granted.attempt.request.sequence - 1;
      outcomes_[request].granted = now_;
      outcomes_[request].attempt = granted->granted.attempt.number;
      outcomes_[request].engine = index_of(granted->granted.device);
      engines_[outcomes_[request].engine].take(request, arrivals_[request], now_);
      meters_[outcomes_[request].engine].begin(granted->granted.attempt, now_);
      return feed(core::attempt_started{granted->granted.attempt});
    }
    if (const auto* refused = std::get_if<core::reject_request>(&one)) {
      outcomes_[refused->request.sequence - 1].refused = true;
      --open_;
    }
  }
  [[nodiscard]] static std::size_t index_of(const device_id& device) {
    return std::strtoul(device.value.c_str() + 3, nullptr, 10);
  }

  const std::vector<arrival>& arrivals_;
  std::vector<outcome> outcomes_;
  core::core core_;
  std::vector<engine> engines_;
  std::vector<core::energy_split> meters_; ///< One each.
  double told_mj_ = 0;
  std::vector<engine_event> happened_;
  time_us now_ = 1, renew_at_ = 0, read_at_ = 0;
  std::size_t open_ = 0, loaded_ = 0;
  std::size_t skip_ = 0;
};

} // namespace

figures play_policy(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                    const std::string& policy, std::size_t skip) {
  return run(fleet, arrivals, policy, skip).play();
}

figures play_rule(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                  const hindsight_rule& rule, std::size_t skip) {
  std::vector<engine> engines(fleet.begin(), fleet.end());
  std::vector<outcome> outcomes(arrivals.size());
  std::vector<engine_event> happened;
  meter seen;
  time_us now = 0;
  std::size_t next = 0;
  for (;;) {
    const auto arrives = next < arrivals.size() ? arrivals[next].at : never;
    const auto steps = first_step(engines);
    if (arrives == never && steps.first == never)
      break;
    now = std::max(now, std::min(arrives, steps.first));
    if (arrives <= now) {
      if (next == skip)
        seen = meter(engines, now);
      auto& one = outcomes[next];
      one.submitted = one.granted = now;
      one.engine = rule(engines, arrivals[next]);
      engines[one.engine].take(next, arrivals[next], now);
      ++next;
      continue;
    }
    happened.clear();
    engines[steps.second].step(happened);
    for (const auto& told : happened) {
      auto& one = outcomes[told.request];
      one.cached = told.cached;
      if (told.what == engine_event::kind::first_token)
        one.first = now;
      else if (told.what == engine_event::kind::finished)
        one.ended = now;
    }
  }
  return figures_of(arrivals, outcomes, skip, meter(engines, now) - seen);
}

} // namespace consort::quality
