// SPDX-License-Identifier: Apache-2.0
// All policies on one trace over one mixed fleet, in virtual time, with the shipped core: prints
// the table of docs/PERFORMANCE.md. Same arguments, same table. Usage: policy_table
// DEVICE_SPECS.csv TRACE [SPEED [REQUESTS [POLICY...]]]
//   TRACE   CSV of time,prompt,output or JSON lines of Mooncake's form
//   SPEED   how many times faster than the trace the requests come (1)
#include "scheduler/core.hpp"
#include "tests/bench/policy_fleet.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace consort::bench {

namespace {

constexpr const char* fleet_names[] = {"H100-SXM", "A100-80G", "A100-80G",    "L40S", "L40S",
                                       "RNGD",     "RNGD",     "Inferentia2", "L4",   "L4"};
constexpr std::size_t tenants = 8;

struct outcome {
  time_us submitted = 0, granted = 0, first = 0, ended = 0;
  std::uint32_t cached = 0, attempt = 0;
  bool refused = false;
};

class run {
public:
  run(const std::vector<chip>& chips, const std::vector<arrival>& arrivals,
      const std::string& policy)
      : arrivals_(arrivals), outcomes_(arrivals.size()), core_(settings(policy)) {
    for (const auto* name : fleet_names)
      for (const auto& one : chips)
        if (one.name == name && engine(one).fits())
          engines_.emplace_back(one), kinds_.push_back(one);
    declare();
  }

  void play() {
    std::size_t next = 0;
    const auto begun = now_;
    while (open_ > 0 || next < arrivals_.size()) {
      const auto arrives = next < arrivals_.size() ? begun + arrivals_[next].at : never;
      const auto steps = first_step();
      const auto due = std::min(core_.next_deadline().value_or(never), renew_at_);
      now_ = std::max(now_, std::min({arrives, steps.first, due}));
      if (arrives == now_)
        submit(next++);
      else if (steps.first <= now_)
        step(steps.second);
      else
        look();
    }
    span_s_ = static_cast<double>(now_ - begun) / 1e6;
  }

  void print(const std::string& policy);

private:
  static constexpr time_us never = std::numeric_limits<time_us>::max();

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
    spec.type = kinds_[at].kind == "gpu" ? resource_type::gpu : resource_type::npu;
    spec.model = kinds_[at].name;
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

  [[nodiscard]] std::pair<time_us, std::size_t> first_step() const {
    std::pair<time_us, std::size_t> best{never, 0};
    for (std::size_t at = 0; at < engines_.size(); ++at)
      if (const auto next = engines_[at].next(); next && *next < best.first)
        best = {*next, at};
    return best;
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
      engines_[index_of(granted->granted.device)].take(request, arrivals_[request], now_);
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
  std::vector<chip> kinds_;
  std::vector<engine_event> happened_;
  time_us now_ = 1, renew_at_ = 0;
  std::size_t open_ = 0, loaded_ = 0;
  double span_s_ = 1;
};

double quantile(std::vector<double>& values, double at) {
  if (values.empty())
    return 0;
  const auto place = static_cast<std::size_t>(at * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(place),
                   values.end());
  return values[place];
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

void run::print(const std::string& policy) {
  std::vector<double> first_ms, gap_ms, rate_by_tenant(tenants), count_by_tenant(tenants);
  double met = 0, tokens = 0, cached = 0, prompts = 0;
  const core::slo_target promised;
  for (std::size_t at = 0; at < outcomes_.size(); ++at) {
    const auto& one = outcomes_[at];
    const auto& work = arrivals_[at];
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
    tokens += work.output;
    cached += one.cached;
    prompts += work.prompt;
    rate_by_tenant[at % tenants]
        += work.output * 1e6 / static_cast<double>(one.ended - one.submitted);
    ++count_by_tenant[at % tenants];
  }
  for (std::size_t at = 0; at < tenants; ++at)
    rate_by_tenant[at] /= std::max(count_by_tenant[at], 1.);
  double joules = 0, money = 0, busy = 0;
  for (const auto& one : engines_) {
    joules += one.joules(span_s_);
    money += one.money();
    busy += one.busy_s() / span_s_ / static_cast<double>(engines_.size());
  }
  std::printf("| %-12s | %7.0f | %6.0f / %7.0f | %5.1f / %6.1f | %5.1f | %6.3f | %6.2f | %5.3f | "
              "%4.1f | %3.0f |\n",
              policy.c_str(), tokens / span_s_, quantile(first_ms, 0.5), quantile(first_ms, 0.99),
              quantile(gap_ms, 0.5), quantile(gap_ms, 0.99),
              100 * met / static_cast<double>(outcomes_.size()), joules / tokens,
              money / tokens * 1e6, jain(rate_by_tenant), 100 * cached / std::max(prompts, 1.),
              100 * busy);
}

int table(int count, char** words) {
  const auto chips = read_chips(words[1]);
  const auto speed = count > 3 ? std::strtod(words[3], nullptr) : 1.;
  const auto most = count > 4 ? std::strtoul(words[4], nullptr, 10) : 5'000UL;
  auto arrivals = read_arrivals(words[2], most);
  if (chips.empty() || arrivals.empty() || speed <= 0) {
    std::fprintf(stderr, "policy_table: cannot read %s or %s\n", words[1], words[2]);
    return 1;
  }
  for (auto& one : arrivals)
    one.at = static_cast<time_us>(static_cast<double>(one.at) / speed);
  std::vector<std::string> policies(words + std::min(count, 5), words + count);
  if (policies.empty())
    policies = core::policy_words();
  std::printf("%zu requests of %s, %g times as fast\n\n", arrivals.size(), words[2], speed);
  std::puts("| policy | tokens/s | TTFT ms p50 / p99 | ITL ms p50 / p99 | SLO % | J/token | "
            "money/Mtoken | Jain | cached % | busy % |");
  std::puts("|---|---|---|---|---|---|---|---|---|---|");
  for (const auto& policy : policies) {
    run one(chips, arrivals, policy);
    one.play();
    one.print(policy);
    std::fflush(stdout);
  }
  return 0;
}

} // namespace

} // namespace consort::bench

int main(int count, char** words) {
  if (count >= 3)
    return consort::bench::table(count, words);
  std::fputs("usage: policy_table DEVICE_SPECS.csv TRACE [SPEED [REQUESTS [POLICY...]]]\n", stderr);
  return 2;
}
