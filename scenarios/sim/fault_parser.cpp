// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/fault_parser.hpp"

#include "scenarios/limits.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::sim {

using strict_json::object_reader;
using strict_json::value;

namespace {

const std::vector<std::string> direction_words{"both", "in", "out"};

class fault_reader {
public:
  fault_reader(const value& item, std::string_view origin, const fault_names& names,
               std::optional<error>& failure)
      : item_(item),
        origin_(origin),
        names_(names),
        failure_(failure),
        reader_(item, origin, failure) {}

  scenario_fault read() {
    reader_.require("at");
    made_.at = reader_.duration("at", 0);
    if (made_.at > names_.safety_us)
      reader_.fail("at", "is after the scenario's duration");
    if (reader_.member("for"))
      made_.span_us = span("for", 0);
    if (const auto* target = read_kind())
      read_targets(*target);
    read_numbers();
    reader_.finish();
    return std::move(made_);
  }

private:
  void fail(const value& where, const std::string& message) {
    if (!failure_)
      failure_ = strict_json::error_at(origin_, where, message);
  }

  duration_us span(std::string_view name, duration_us fallback) {
    const auto given = reader_.duration(name, fallback);
    if (given <= 0 || given > limits::duration_us_max)
      reader_.fail(name, "must be above 0 and at most " + format_duration(limits::duration_us_max));
    return given;
  }

  /// The kind of a fault is the key that names its targets. Returns: those, or null after an error.
  const value* read_kind() {
    const value* found = nullptr;
    std::string words;
    for (std::size_t at = 0; at < fault_words.size(); ++at) {
      words += (at == 0 ? "" : ", ") + std::string(fault_words[at].word);
      const auto* target = reader_.member(fault_words[at].word);
      if (!target)
        continue;
      if (found)
        fail(*target, "a fault has one kind; make it two entries");
      found = target;
      made_.kind = static_cast<fault_kind>(at);
    }
    if (!found) {
      reader_.finish(); // A misspelt kind is told as such.
      fail(item_, "needs one of " + words);
    }
    return found;
  }

  void read_targets(const value& given) {
    // Older files say so; the scheduler has no name.
    if (made_.kind == fault_kind::restart && given.type == strict_json::kind::boolean)
      made_.kind = fault_kind::scheduler;
    if (word_of(made_.kind).target == fault_target::nothing) {
      const bool named = given.type == strict_json::kind::string && given.text == "restart";
      if (!named && (given.type != strict_json::kind::boolean || !given.boolean))
        fail(given, made_.kind == fault_kind::scheduler ? "expected `restart`" : "expected true");
    } else if (given.type == strict_json::kind::string) {
      add_target(given);
    } else if (given.type == strict_json::kind::array && !given.items.empty()) {
      for (const auto& item : given.items)
        add_target(item);
    } else {
      fail(given, "expected a name or a list of names");
    }
  }

  /// A name, or a beginning and `*`: every name that begins so.
  void add_target(const value& given) {
    if (given.type != strict_json::kind::string)
      return fail(given, "expected a name");
    const auto target = word_of(made_.kind).target;
    if (target == fault_target::link && given.text == gateway_word)
      return made_.targets.emplace_back(given.text), void();
    const bool device = target == fault_target::device;
    if (add_named(given.text, device ? names_.devices : names_.nodes))
      return;
    if (elsewhere(given, device))
      made_.absent.push_back(given.text);
    else
      fail_unknown(given, device);
  }

  /// Returns: whether there is one.
  bool add_named(std::string_view wanted, const std::vector<std::string>& known) {
    const auto before = made_.targets.size();
    for (const auto& name : known)
      if (named_by(wanted, name))
        made_.targets.push_back(name);
    return made_.targets.size() != before;
  }

  static bool named_by(std::string_view wanted, std::string_view name) {
    return wanted.ends_with('*') ? name.starts_with(wanted.substr(0, wanted.size() - 1))
                                 : name == wanted;
  }

  bool elsewhere(const value& given, bool device) const {
    if (names_.elsewhere == nullptr)
      return false;
    const auto& known = device ? names_.elsewhere->devices : names_.elsewhere->nodes;
    return std::any_of(known.begin(), known.end(),
                       [&](const std::string& name) { return named_by(given.text, name); });
  }

  void fail_unknown(const value& given, bool device) {
    const auto node = given.text.substr(0, given.text.find('/'));
    const bool node_known = std::binary_search(names_.nodes.begin(), names_.nodes.end(), node)
                            || std::count(names_.nodes.begin(), names_.nodes.end(), node) > 0;
    if (!device && node_known)
      return fail(given, "expected a node, not a device");
    if (device && node == given.text && node_known)
      return fail(given, "expected a device such as " + first_device_of(node));
    if (device && node_known)
      return fail(given, "unknown device `" + given.text + "`"
                             + did_you_mean_or_list(given.text, devices_of(node)));
    auto known = names_.nodes;
    if (word_of(made_.kind).target == fault_target::link)
      known.emplace_back(gateway_word);
    fail(given, "unknown node `" + node + "`" + did_you_mean_or_list(node, known));
  }

  std::vector<std::string> devices_of(const std::string& node) const {
    std::vector<std::string> found;
    for (const auto& device : names_.devices)
      if (device.starts_with(node + "/"))
        found.push_back(device);
    return found;
  }
  std::string first_device_of(const std::string& node) const {
    const auto found = devices_of(node);
    return found.empty() ? node + "/npu0" : found.front();
  }

  /// What a kind has beside targets; anything else is an unknown key.
  void read_numbers() {
    switch (made_.kind) {
    case fault_kind::slow:
    case fault_kind::throttle: made_.factor = reader_.number("factor", 2, 1, 1'000); break;
    case fault_kind::loss:
      made_.share = reader_.number("share", 0.01, 0, limits::loss_share_max);
      break;
    case fault_kind::duplicate: made_.share = reader_.number("share", 0.1, 0, 1); break;
    case fault_kind::reorder: made_.by_us = span("by", 50'000); break;
    case fault_kind::skew: read_skew(); break;
    case fault_kind::storm: read_storm(); break;
    case fault_kind::partition: read_direction(); break;
    case fault_kind::compile_fail: made_.transient = reader_.boolean("transient", true); break;
    case fault_kind::restart:
    case fault_kind::upgrade: // How long each is away.
      if (made_.span_us == 0)
        made_.span_us = limits::restart_us;
      break;
    default: break;
    }
  }

  void read_skew() {
    reader_.require("by");
    made_.by_us = span("by", limits::second_us);
    if (reader_.boolean("behind", false))
      made_.by_us = -made_.by_us;
  }

  void read_storm() {
    made_.status = static_cast<std::uint32_t>(reader_.integer("status", 429, 400, 599));
    if (made_.status < 500 && made_.status != 429)
      reader_.fail("status", "must be 429 or 500 to 599: others are the request's own fault");
    made_.share = reader_.number("share", 1, 0, 1);
  }

  void read_direction() {
    const auto word = reader_.text("direction", "both");
    const auto found = std::find(direction_words.begin(), direction_words.end(), word);
    if (found == direction_words.end())
      reader_.fail("direction", "unknown direction `" + word + "`"
                                    + did_you_mean_or_list(word, direction_words));
    else
      made_.direction = static_cast<fault_direction>(found - direction_words.begin());
  }

  const value& item_;
  std::string_view origin_;
  const fault_names& names_;
  std::optional<error>& failure_;
  object_reader reader_;
  scenario_fault made_;
};

} // namespace

scenario_fault read_fault(const value& item, std::string_view origin, const fault_names& names,
                          std::optional<error>& failure) {
  return fault_reader(item, origin, names, failure).read();
}

} // namespace consort::sim
