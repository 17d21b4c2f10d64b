// SPDX-License-Identifier: Apache-2.0
#include "cli/live/run.hpp"

#include "cli/live/clients.hpp"
#include "cli/live/cluster_state.hpp"
#include "cli/live/faults.hpp"
#include "cli/live/lateness.hpp"
#include "cli/live/limits.hpp"
#include "scenarios/sim/arrivals.hpp"
#include "scenarios/sim/check/ended_once.hpp"
#include "scenarios/sim/recorder.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>

namespace consort::live {

namespace asio = boost::asio;
using wall_clock = std::chrono::steady_clock;

namespace {

class rehearsal {
public:
  explicit rehearsal(const run_settings& wanted)
      : wanted_(wanted),
        plan_(wanted.processes.plan),
        signals_(io_, SIGINT, SIGTERM),
        processes_(io_, wanted.processes),
        clients_(io_, watchers_, [this] { return now(); }),
        faults_(io_, heap_, processes_, watchers_, [this] { return now(); }),
        arrivals_(heap_, clients_, plan_, wanted.seed, sim::limits::requests_max),
        recorder_(summary_, false) {
    watchers_.add(recorder_);
    watchers_.add(ended_once_);
    if (plan_.slo.given())
      watchers_.add(slo_);
    watchers_.add(arrivals_);
    signals_.async_wait([this](const boost::system::error_code& failed, int) {
      interrupted_ = interrupted_ || !failed;
    });
    summary_.scenario = plan_.name;
    summary_.seed = wanted.seed;
    summary_.policy = wanted.processes.policy;
  }

  result<sim::run_summary> play() {
    if (auto started = wait_for(processes_.start()); !started)
      return end_with(started.failure());
    if (interrupted_)
      return end_with(error{recovery::refuse, "interrupted", "interrupted"});
    if (wanted_.on_ready)
      wanted_.on_ready(processes_.partitions_by());
    clients_.ask_at(processes_.gateway_port());
    began_ = wall_clock::now();
    arrivals_.start();
    faults_.schedule(plan_.faults);
    late_.emplace(io_);
    play_phases();
    if (interrupted_)
      return end_with(
          error{recovery::refuse, "interrupted", "interrupted; every process was ended"});
    finish();
    wait_for(processes_.stop());
    return std::move(summary_);
  }

private:
  [[nodiscard]] time_us now() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(wall_clock::now() - began_)
        .count();
  }

  error end_with(error why) {
    wait_for(processes_.stop());
    return why;
  }

  template <class T>
  static task<void> keep(task<T> what, std::optional<T>& into) {
    into.emplace(co_await std::move(what));
  }

  /// Runs everything until the coroutine has ended.
  void wait_for(task<void> what) {
    bool ended = false;
    asio::co_spawn(io_, std::move(what), [&](const std::exception_ptr&) { ended = true; });
    while (!ended)
      io_.run_one();
  }
  template <class T>
  T wait_for(task<T> what) {
    std::optional<T> outcome;
    wait_for(keep(std::move(what), outcome));
    return std::move(*outcome);
  }

  [[nodiscard]] bool wrong() const {
    return interrupted_ || processes_.casualty() || arrivals_.failure();
  }

  void play_phases() {
    std::uint32_t shown_pm = 0;
    while (!wrong() && now() < plan_.safety_us) {
      run_until(plan_.safety_us);
      const auto now_pm = static_cast<std::uint32_t>(now() * 1'000 / plan_.safety_us);
      if (wanted_.on_progress && now_pm >= shown_pm + 10)
        wanted_.on_progress(shown_pm = now_pm);
    }
    faults_.heal_all();
    const auto latest = plan_.safety_us + plan_.settle_us;
    while (!wrong() && clients_.live() > 0 && now() < latest) {
      run_until(now() + std::chrono::microseconds(limits::settle_look).count());
      if (wanted_.on_settling)
        wanted_.on_settling(now() - plan_.safety_us, clients_.live());
    }
  }

  /// One thing: what is due on the heap, or what the processes and sockets have to say by `latest`.
  void run_until(time_us latest) {
    while (!heap_.empty() && heap_.next_time() <= now()) {
      heap_.run_next();
      io_.poll();
    }
    const auto next = heap_.empty() ? latest : std::min(heap_.next_time(), latest);
    io_.run_one_until(began_ + std::chrono::microseconds(next));
    io_.poll();
  }

  void finish() {
    if (clients_.live() > 0)
      summary_.violations.push_back("liveness: " + std::to_string(clients_.live())
                                    + " requests never ended");
    clients_.leave_all("never_ended");
    ended_once_.on_end({}, now());
    if (const auto& what = ended_once_.violation())
      summary_.violations.push_back("ended_once: " + *what);
    if (const auto casualty = processes_.casualty())
      summary_.violations.push_back("process: " + *casualty);
    summary_.input_failure = arrivals_.failure();
    summary_.ended_at = now();
    const auto counted = wait_for(processes_.counts());
    summary_.counts.failovers = counted.failovers;
    summary_.counts.resumes = counted.resumes;
    summary_.counts.builds = counted.builds;
    summary_.counts.loads = counted.loads;
    take_notes();
    compute_figures(summary_, plan_.safety_us);
    if (const auto kept = slo_.attainment(); kept && plan_.slo.given())
      summary_.figures["slo_attainment"] = *kept;
    if (const auto late = late_->percentile(500))
      summary_.figures["host_late_p50_ms"] = static_cast<double>(*late) / 1'000;
    if (const auto late = late_->percentile(990))
      summary_.figures["host_late_p99_ms"] = static_cast<double>(*late) / 1'000;
    late_.reset();
    summary_.misses = missed_expectations(summary_, plan_.expectations);
  }

  /// What the gateway said of each request.
  void take_notes() {
    summary_.device_tokens.clear();
    for (auto& one : summary_.requests) {
      const auto found = clients_.served().find(one.external_id);
      if (found == clients_.served().end())
        continue;
      one.device = found->second.device;
      one.attempts = found->second.attempts;
      summary_.device_tokens[one.device] += one.completion_tokens;
      summary_.counts.prompt_tokens += found->second.prompt_tokens;
      summary_.counts.cached_tokens += found->second.cached_tokens;
    }
  }

  const run_settings& wanted_;
  const sim::scenario& plan_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  sim::run_summary summary_;
  sim::event_heap heap_;
  sim::observer_list watchers_;
  cluster processes_;
  clients clients_;
  faults faults_;
  sim::arrivals arrivals_;
  sim::recorder recorder_;
  sim::slo_watcher slo_{plan_.slo};
  sim::ended_once_checker ended_once_;
  wall_clock::time_point began_ = wall_clock::now();
  std::optional<lateness> late_; ///< While it plays.
  bool interrupted_ = false;
};

} // namespace

result<sim::run_summary> run(const run_settings& wanted) {
  return rehearsal(wanted).play();
}

} // namespace consort::live
