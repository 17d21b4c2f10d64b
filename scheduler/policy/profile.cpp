// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/profile.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>

namespace consort::core {

namespace {

struct weighted {
  scorer_id scorer;
  std::uint16_t weight;
};

scorer_weights weights_of(std::initializer_list<weighted> parts) {
  scorer_weights made{};
  for (const auto& one : parts)
    made[static_cast<std::size_t>(one.scorer)] = one.weight;
  return made;
}

/// The predicted finish, and `more` on top.
scorer_weights finish_and(std::initializer_list<weighted> more) {
  auto made = weights_of({{scorer_id::queue, 1},
                          {scorer_id::setup, 1},
                          {scorer_id::prefill, 1},
                          {scorer_id::prefix, 1},
                          {scorer_id::decode, 1},
                          {scorer_id::exact, 1}});
  for (const auto& one : more)
    made[static_cast<std::size_t>(one.scorer)] = one.weight;
  return made;
}

profile built(const char* name, scorer_weights weights, pick_kind pick, bool waits) {
  profile made;
  made.name = policy_name{name};
  made.weights = weights;
  made.pick = pick;
  made.waits = waits;
  return made;
}

std::vector<profile> make_builtin() {
  const auto load = weights_of({{scorer_id::load, 1}});
  const auto nothing = weights_of({});
  auto throughput = built(
      "throughput",
      finish_and({{scorer_id::crowding, 1}, {scorer_id::reading, 1}, {scorer_id::forgetting, 1}}),
      pick_kind::best, true);
  throughput.late = true;
  return {
      built("latency", finish_and({{scorer_id::reading, 1}, {scorer_id::forgetting, 8}}),
            pick_kind::best, true),
      throughput,
      // A second is worth 100 mJ, or a millionth of the currency unit: it breaks ties.
      built("energy", finish_and({{scorer_id::energy, 10}}), pick_kind::best, true),
      built("cost", finish_and({{scorer_id::money, 1'000}}), pick_kind::best, true),
      built("hybrid", finish_and({{scorer_id::energy, 10}, {scorer_id::money, 1'000}}),
            pick_kind::slo, true),
      built("random", nothing, pick_kind::random, false),
      built("round-robin", nothing, pick_kind::turn, false),
      built("least-loaded", load, pick_kind::best, false),
      built("power-of-two", load, pick_kind::two_choices, false),
      built("prefix-only", load, pick_kind::prefix, false),
  };
}

struct pick_word {
  pick_kind kind;
  const char* word;
};
constexpr std::array<pick_word, 6> pick_words{{{pick_kind::best, "best"},
                                               {pick_kind::slo, "slo"},
                                               {pick_kind::random, "random"},
                                               {pick_kind::turn, "turn"},
                                               {pick_kind::two_choices, "two-choices"},
                                               {pick_kind::prefix, "prefix"}}};

error unknown(const policy_name& profile, const std::string& what, const std::string& word,
              const std::vector<std::string>& known) {
  return {recovery::refuse, "profile_invalid",
          "profile `" + profile.value + "`: unknown " + what + " `" + word + "`"
              + did_you_mean(word, known)};
}

/// As X-Consort-Policy takes it.
bool fits_header(const std::string& name) {
  return !name.empty() && name.size() <= limits::policy_bytes_max && name.front() != ' '
         && name.back() != ' '
         && std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

result<done> read_weights(const profile_config& wanted, profile& made) {
  std::vector<std::string> known;
  for (const auto& one : all_scorers())
    known.emplace_back(one.name);
  for (const auto& [word, weight] : wanted.weights) {
    const auto at = std::find(known.begin(), known.end(), word);
    if (at == known.end())
      return unknown(wanted.name, "scorer", word, known);
    const auto most = word == std::string_view("prefix") ? 1 : weight_max;
    if (weight > most)
      return error{recovery::refuse, "profile_invalid",
                   "profile `" + wanted.name.value + "`: the weight of " + word
                       + " must be between 0 and " + std::to_string(most)};
    made.weights[static_cast<std::size_t>(at - known.begin())] = static_cast<std::uint16_t>(weight);
  }
  return done{};
}

result<done> read_filters(const profile_config& wanted, profile& made) {
  std::vector<std::string> known;
  for (const auto& one : all_filters())
    if (one.optional)
      known.emplace_back(one.name);
  for (const auto& word : wanted.filters) {
    const auto& table = all_filters();
    const auto at = std::find_if(table.begin(), table.end(), [&](const filter& one) {
      return one.optional && word == one.name;
    });
    if (at == table.end())
      return unknown(wanted.name, "filter", word, known);
    made.filters |= bit_of(at->id);
  }
  return done{};
}

} // namespace

bool profile::tells_apart() const {
  if (pick == pick_kind::random || pick == pick_kind::turn)
    return true;
  for (std::size_t at = 0; at < weights.size(); ++at)
    if (weights[at] != 0 && at != static_cast<std::size_t>(scorer_id::prefix))
      return true;
  return false;
}

linear_score profile::weigh(const endpoint_figures& at) const {
  auto sum = weighted_sum(weights, at);
  // A closed endpoint is nobody's choice, also of those to whom queues are nothing.
  if (at.queue_ns >= term_ns_max)
    sum.fixed = term_ns_max;
  return sum;
}

linear_score finish_of(const endpoint_figures& at) {
  return {std::min(at.queue_ns + at.setup_ns + at.exact_ns + at.first_ns, term_ns_max),
          at.prefill_ns, at.itl_ns, at.ready_ns, at.behind_ns};
}

const std::vector<profile>& builtin_profiles() {
  static const auto table = make_builtin();
  return table;
}

const std::vector<std::string>& policy_words() {
  static const auto words = [] {
    std::vector<std::string> made;
    for (const auto& one : builtin_profiles())
      made.push_back(one.name.value);
    return made;
  }();
  return words;
}

result<profile> profile_of(const profile_config& wanted) {
  profile made;
  made.name = wanted.name;
  made.waits = wanted.waits;
  const auto& taken = policy_words();
  if (!fits_header(wanted.name.value))
    return error{recovery::refuse, "profile_invalid",
                 "a profile's name must be one that a header can carry: 1 to "
                     + std::to_string(limits::policy_bytes_max) + " printable ASCII characters"};
  if (std::find(taken.begin(), taken.end(), wanted.name.value) != taken.end())
    return error{recovery::refuse, "profile_invalid",
                 "profile `" + wanted.name.value + "` has the name of a built-in one"};
  const auto pick = std::find_if(pick_words.begin(), pick_words.end(),
                                 [&](const pick_word& one) { return wanted.pick == one.word; });
  if (pick == pick_words.end()) {
    std::vector<std::string> known;
    for (const auto& one : pick_words)
      known.emplace_back(one.word);
    return unknown(wanted.name, "pick", wanted.pick, known);
  }
  made.pick = pick->kind;
  if (const auto read = read_weights(wanted, made); !read)
    return read.failure();
  if (const auto read = read_filters(wanted, made); !read)
    return read.failure();
  if (!made.tells_apart())
    return error{recovery::refuse, "profile_invalid",
                 "profile `" + wanted.name.value
                     + "` weighs nothing, and would always take the first endpoint: give it "
                       "`weights`, or `pick` `random` or `turn`"};
  return made;
}

} // namespace consort::core
