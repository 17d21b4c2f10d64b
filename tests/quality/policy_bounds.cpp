// SPDX-License-Identifier: Apache-2.0
#include "tests/quality/policy_bounds.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace consort::quality {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

/// What one request needs of one engine, by parts.
struct need {
  double decode_fixed = 0, decode_weights = 0; ///< Its share of steps: all, and of it the weights.
  double read_fixed = 0, read_weights = 0;     ///< Steps that read its prompt.
  double compute = 0, rest = 0;
  bool possible = false;
};

/// Of one engine: how much of the weights arithmetic hides, how steps are shared between prompts
/// and answers, and what its time is worth.
struct multipliers {
  double hidden = 0, answers = 1, price_w = 0;
};

time_us promised_end(const arrival& work) {
  const core::slo_target promised;
  return work.at + promised.ttft_us + promised.ttft_per_1000_us * work.prompt / 1'000
         + promised.itl_us * (work.output - 1);
}

/// For each request, the most whose promised spans hold one moment of its own. Arrivals in order.
std::vector<double> companions(const std::vector<arrival>& arrivals) {
  std::vector<double> at_arrival(arrivals.size()), made(arrivals.size());
  std::multiset<time_us> ends;
  for (std::size_t at = 0; at < arrivals.size(); ++at) {
    while (!ends.empty() && *ends.begin() < arrivals[at].at)
      ends.erase(ends.begin());
    ends.insert(promised_end(arrivals[at]));
    at_arrival[at] = static_cast<double>(ends.size());
  }
  for (std::size_t at = 0; at < arrivals.size(); ++at)
    for (auto with = at; with < arrivals.size(); ++with) {
      if (arrivals[with].at > promised_end(arrivals[at]))
        break;
      made[at] = std::max(made[at], at_arrival[with]);
    }
  return made;
}

need need_of(const engine& on, const arrival& work, double beside) {
  need made;
  const auto answers = work.output - 1.;
  const auto share = answers / std::min<double>(on.sequences_max(), std::max(beside, 1.));
  double pieces = 0, attention = 0;
  for (auto left = work.prompt; left > 0;) {
    const auto piece = std::min(left, on.chunk_max());
    attention += on.attention_us(piece, work.prompt - left / 2.);
    left -= piece;
    ++pieces;
  }
  made.decode_fixed = share * on.step_floor_us();
  made.decode_weights = share * on.weights_us();
  made.read_fixed = pieces * on.step_floor_us();
  made.read_weights = pieces * on.weights_us();
  made.compute = on.token_compute_us() * (work.prompt + answers);
  made.rest = attention + on.kv_read_us(answers * work.prompt + answers * work.output / 2.);
  const core::slo_target promised;
  made.possible
      = on.step_floor_us() + on.kv_read_us(work.prompt) <= static_cast<double>(promised.itl_us);
  return made;
}

double busy_us(const need& of, const multipliers& by) {
  return by.answers * (of.decode_fixed - by.hidden * of.decode_weights)
         + (1 - by.answers) * (of.read_fixed - by.hidden * of.read_weights) + by.hidden * of.compute
         + of.rest;
}

double floor_with(const std::vector<chip>& fleet, const std::vector<std::vector<need>>& needs,
                  const std::vector<multipliers>& by, double span_s) {
  double sum = 0;
  for (std::size_t on = 0; on < fleet.size(); ++on)
    sum += (fleet[on].sleep_w - by[on].price_w) * span_s;
  for (const auto& one : needs) {
    double least = infinite;
    for (std::size_t on = 0; on < fleet.size(); ++on)
      if (one[on].possible)
        least = std::min(least, (fleet[on].tdp_w - fleet[on].sleep_w + by[on].price_w)
                                    * busy_us(one[on], by[on]) / 1e6);
    sum += least == infinite ? 0 : least; // Nobody keeps its promise; free.
  }
  return sum;
}

/// A rule of best_found().
struct filling {
  std::vector<std::size_t> order;
  std::vector<std::size_t> most; ///< By place in the order.
};

figures play_filling(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                     std::size_t skip, const filling& by) {
  const auto rule = [&](const std::vector<engine>& engines, const arrival&) {
    std::size_t emptiest = by.order.front();
    double least = infinite;
    for (std::size_t place = 0; place < by.order.size(); ++place) {
      const auto on = by.order[place];
      if (by.most[place] == 0)
        continue;
      if (engines[on].inside() < by.most[place])
        return on;
      const auto load
          = static_cast<double>(engines[on].inside()) / static_cast<double>(by.most[place]);
      if (load < least) {
        least = load;
        emptiest = on;
      }
    }
    return emptiest;
  };
  return play_rule(fleet, arrivals, rule, skip);
}

/// Fewer missing promises first, then fewer joules.
bool better(const figures& one, const figures& other, double slo_share) {
  const auto kept = std::min(one.slo_share, slo_share),
             before = std::min(other.slo_share, slo_share);
  return kept != before ? kept > before : one.joules < other.joules;
}

double static_s(const chip& on, const arrival& one, const arrival& other, std::size_t ones,
                std::size_t others) {
  engine alone(on);
  std::vector<engine_event> happened;
  const auto most = std::max(ones, others);
  for (std::size_t at = 0; at < most; ++at) {
    if (at < ones)
      alone.take(2 * at, one, 0);
    if (at < others)
      alone.take(2 * at + 1, other, 0);
  }
  time_us ended = 0;
  while (const auto next = alone.next()) {
    ended = *next;
    alone.step(happened);
  }
  return static_cast<double>(ended) / 1e6;
}

} // namespace

double joules_floor(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                    std::size_t skip, double span_s) {
  const std::vector<engine> engines(fleet.begin(), fleet.end());
  const auto beside = companions(arrivals);
  std::vector<std::vector<need>> needs;
  for (auto at = skip; at < arrivals.size(); ++at) {
    needs.emplace_back();
    for (const auto& on : engines)
      needs.back().push_back(need_of(on, arrivals[at], beside[at]));
  }
  std::vector<multipliers> by(fleet.size());
  auto best = floor_with(fleet, needs, by, span_s);
  constexpr std::array<double, 7> shares{0, 0.1, 0.25, 0.5, 0.75, 0.9, 1};
  constexpr std::array<double, 9> prices{0, 5, 10, 20, 40, 80, 160, 320, 640};
  const auto consider = [&](std::size_t on, const multipliers& tried) {
    const auto before = std::exchange(by[on], tried);
    const auto reached = floor_with(fleet, needs, by, span_s);
    if (reached > best)
      best = reached;
    else
      by[on] = before;
  };
  for (int sweep = 0; sweep < 3; ++sweep)
    for (std::size_t on = 0; on < fleet.size(); ++on) {
      for (const auto hidden : shares)
        for (const auto answers : shares)
          consider(on, {hidden, answers, by[on].price_w});
      for (const auto price : prices)
        consider(on, {by[on].hidden, by[on].answers, price});
    }
  return best;
}

figures best_found(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                   std::size_t skip, double slo_share) {
  constexpr std::array<std::size_t, 8> sizes{0, 4, 8, 12, 18, 26, 40, 64};
  figures best;
  best.slo_share = -1;
  filling tried;
  tried.order.resize(fleet.size());
  std::iota(tried.order.begin(), tried.order.end(), std::size_t{0});
  // Twice: all at work, and the first alone; then one number after the other.
  do
    for (const auto others : {18U, 0U}) {
      tried.most.assign(fleet.size(), others);
      tried.most.front() = std::max(others, 40U);
      auto here = play_filling(fleet, arrivals, skip, tried);
      for (std::size_t place = 0; place < fleet.size(); ++place)
        for (const auto size : sizes) {
          const auto before = std::exchange(tried.most[place], size);
          const auto idle = std::all_of(tried.most.begin(), tried.most.end(),
                                        [](std::size_t most) { return most == 0; });
          const auto made = idle ? here : play_filling(fleet, arrivals, skip, tried);
          if (!idle && better(made, here, slo_share))
            here = made;
          else
            tried.most[place] = before;
        }
      if (better(here, best, slo_share))
        best = here;
    }
  while (std::next_permutation(tried.order.begin(), tried.order.end()));
  if (best.slo_share < slo_share)
    best.joules = 0;
  return best;
}

double best_static_s(const std::vector<chip>& fleet, const arrival& one, const arrival& other,
                     std::size_t each, std::size_t grains) {
  const auto grain = each / grains, wide = grains + 1;
  // Least time of the first engines for so many grains of both; no engine has none to do.
  std::vector<double> least(wide * wide, infinite);
  least[0] = 0;
  for (const auto& on : fleet) {
    std::vector<double> alone(wide * wide), with(wide * wide, infinite);
    for (std::size_t at = 0; at < alone.size(); ++at)
      alone[at] = static_s(on, one, other, at / wide * grain, at % wide * grain);
    for (std::size_t all = 0; all < with.size(); ++all)
      for (std::size_t at = 0; at <= all; ++at)
        if (at / wide <= all / wide && at % wide <= all % wide)
          with[all] = std::min(with[all], std::max(alone[at], least[all - at]));
    least = std::move(with);
  }
  return least.back();
}

double pooled_cache_bound(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                          std::size_t skip) {
  std::uint64_t room = 0;
  for (const auto& one : fleet)
    room += engine(one).cache_blocks();
  // When each block is asked for again.
  std::map<std::uint64_t, std::size_t> later;
  std::vector<std::vector<std::size_t>> again(arrivals.size());
  for (auto at = arrivals.size(); at-- > 0;)
    for (const auto block : arrivals[at].blocks) {
      const auto known = later.find(block);
      again[at].push_back(known == later.end() ? arrivals.size() : known->second);
      later[block] = at;
    }
  std::set<std::pair<std::size_t, std::uint64_t>> kept; // By when it is asked for next.
  double hit = 0, prompts = 0;
  for (std::size_t at = 0; at < arrivals.size(); ++at) {
    std::uint32_t found = 0;
    for (std::size_t place = 0; place < arrivals[at].blocks.size(); ++place) {
      const auto block = arrivals[at].blocks[place];
      found += kept.erase({at, block}) != 0 ? block_tokens : 0;
      if (again[at][place] == arrivals.size())
        continue;
      kept.emplace(again[at][place], block);
      if (kept.size() > room)
        kept.erase(std::prev(kept.end()));
    }
    if (at < skip)
      continue;
    hit += std::min(found, arrivals[at].prompt - 1);
    prompts += arrivals[at].prompt;
  }
  return hit / std::max(prompts, 1.);
}

std::size_t most_cached(const std::vector<engine>& engines, const arrival& work) {
  std::size_t best = 0;
  for (std::size_t at = 1; at < engines.size(); ++at) {
    const auto held = engines[at].cached_tokens(work), most = engines[best].cached_tokens(work);
    if (held > most || (held == most && engines[at].inside() < engines[best].inside()))
      best = at;
  }
  return best;
}

} // namespace consort::quality
