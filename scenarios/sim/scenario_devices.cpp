// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/scenario_devices.hpp"

#include "messages/wire_check.hpp"
#include "scenarios/limits.hpp"
#include "scenarios/models/operator_tables.hpp"
#include "scenarios/workloads/line_source.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace consort::sim {

using strict_json::object_reader;
using strict_json::value;

namespace {

std::uint32_t whole(object_reader& reader, std::string_view name, std::uint32_t fallback,
                    std::int64_t max) {
  return static_cast<std::uint32_t>(reader.integer(name, fallback, 1, max));
}

/// GB a second. Its name of before (`link_gbps`) said gigabits to whoever buys networks: refused,
/// so that nobody's transfers come out eight times too fast.
double gigabytes(object_reader& reader, const value& section, const std::string& what,
                 double fallback, double min) {
  const auto name = what + "_gb_per_s";
  if (const auto former = what + "_gbps"; section.find(former))
    reader.fail(former, "is now `" + name
                            + "`, in gigabytes a second, as it always was: a link of 100 "
                              "Gbit/s has 12.5");
  return reader.number(name, fallback, min, 1e6);
}

std::string beside(std::string_view origin, const std::string& path) {
  return (std::filesystem::path(origin).parent_path() / path).string();
}

/// A whole file, or the one of that name that is compressed; nothing when there is neither. What is
/// wrong with one that is there goes into `broken`.
std::optional<std::string> text_of(const std::string& path, std::string& broken) {
  namespace fs = std::filesystem;
  const auto found = fs::exists(path) ? path : path + ".xz";
  if (!fs::exists(found))
    return std::nullopt;
  std::string made;
  std::string line;
  auto lines = line_source::open(found);
  auto more = lines ? lines->next(line) : result<bool>(lines.failure());
  for (; more && *more; more = lines->next(line))
    made += line + "\n";
  if (more)
    return made;
  broken = more.failure().message;
  return std::nullopt;
}

void read_buckets(object_reader& reader, std::string_view name, std::vector<std::uint32_t>& out) {
  const auto* list = reader.array(name);
  if (!list)
    return;
  out.clear();
  for (const auto& item : list->items) {
    const bool fits = item.type == strict_json::kind::number && item.number >= 1
                      && item.number <= limits::tokens_max && item.number == std::floor(item.number)
                      && (out.empty() || item.number > out.back());
    if (!fits)
      return reader.fail(name, "must be ascending whole numbers from 1 on");
    out.push_back(static_cast<std::uint32_t>(item.number));
  }
}

class device_reader {
public:
  device_reader(const value& item, std::string_view origin, std::optional<error>& failure)
      : item_(item), origin_(origin), failure_(failure), reader_(item, origin, failure) {}

  [[nodiscard]] std::uint32_t count() const { return count_; }

  device_model_ptr read() {
    if (const auto* members = reader_.object("stages"))
      return read_stages(*members);
    reader_.require("spec");
    const auto spec = reader_.text("spec");
    const auto base = find_device_model(spec);
    if (!base) {
      reader_.fail("spec",
                   "unknown device `" + spec + "`" + did_you_mean(spec, device_model_names()));
      return nullptr;
    }
    made_ = *base;
    read_group(spec);
    read_memory();
    read_batching();
    read_fidelity();
    refuse_unread(spec);
    read_power();
    read_building();
    if (made_.type == "remote")
      read_remote();
    if (const auto* side = reader_.object("prefill"))
      read_prefill(*side);
    reader_.finish();
    if (failure_)
      return nullptr;
    return std::make_shared<const device_model>(std::move(made_));
  }

private:
  void read_group(const std::string& spec) {
    chip_group group;
    group.tp = whole(reader_, "tp", 1, limits::chips_max);
    group.pp = whole(reader_, "pp", 1, limits::chips_max);
    group.link_gb_per_s = gigabytes(reader_, item_, "link", 0, 0);
    const auto* chip = find_chip_spec(spec);
    if (chip)
      made_ = device_of_chips(*chip, group);
    else if (group.tp * group.pp > 1)
      reader_.fail("spec", "`" + spec + "` is one device: only a chip's spec can be joined");
    read_name();
  }

  void read_name() {
    made_.name = reader_.text("name", made_.name);
    messages::wire_check wire;
    if (made_.name.empty() || !wire.check_label(made_.name, "name"))
      reader_.fail("name", "must be 1 to " + std::to_string(messages::limits::label_bytes_max)
                               + " bytes of UTF-8 without control characters");
  }

  void read_memory() {
    made_.memory_bytes = reader_.size("memory", made_.memory_bytes);
    if (item_.find("memory") && made_.memory_bytes == 0)
      reader_.fail("memory", "must be above 0");
    made_.kv_blocks = static_cast<std::uint64_t>(reader_.integer("kv_blocks", 0, 0, 1LL << 40));
    made_.block_tokens = whole(reader_, "block_tokens", made_.block_tokens, 65'536);
  }

  void read_batching() {
    made_.max_sequences = whole(reader_, "max_sequences", made_.max_sequences, 65'536);
    made_.step_tokens = whole(reader_, "step_tokens", made_.step_tokens, 1 << 24);
    count_ = whole(reader_, "count", 1, limits::devices_per_node_max);
    made_.prefix_cache = reader_.boolean("prefix_cache", made_.prefix_cache);
    made_.reserves_output = reader_.boolean("reserves_output", made_.reserves_output);
    read_buckets(reader_, "batch_buckets", made_.batch_buckets);
    read_buckets(reader_, "prompt_buckets", made_.prompt_buckets);
  }

  void read_fidelity() {
    const auto* profile = reader_.member("profile");
    if (profile && item_.find("table"))
      reader_.fail("table", "a device has `table` or `profile`, not both: its times are of one");
    if (profile)
      read_recorded(*profile, beside(origin_, reader_.text("profile")));
    if (reader_.member("table"))
      read_table(beside(origin_, reader_.text("table")));
    auto& constants = made_.constants;
    constants.c0_us = static_cast<double>(
        reader_.duration("step_overhead", static_cast<std::int64_t>(constants.c0_us)));
    constants.c1_us = reader_.number("layer_overhead_us", constants.c1_us, 0, 1e6);
    constants.c2_us = reader_.number("sequence_overhead_us", constants.c2_us, 0, 1e6);
    constants.hop_us = reader_.number("hop_us", constants.hop_us, 0, 1e6);
    constants.mfu = reader_.number("mfu", constants.mfu, 0.001, 10);
    constants.eta_w = reader_.number("weight_efficiency", constants.eta_w, 0.001, 10);
    constants.eta_kv = reader_.number("kv_efficiency", constants.eta_kv, 0.001, 10);
    constants.eta_link = reader_.number("link_efficiency", constants.eta_link, 0.001, 10);
  }

  void read_table(const std::string& folder) {
    std::string wrong;
    std::string broken; // Says more than that a file cannot be read.
    made_.tables = operator_tables::load(
        [&](const std::string& name) { return text_of(folder + "/" + name, broken); }, wrong);
    made_.fidelity = fidelity_kind::table;
    made_.constants = {0, 1, 1, 1, 0, 0, 10};
    if (!broken.empty())
      return reader_.fail("table", broken);
    if (!made_.tables)
      return reader_.fail("table", folder + ": " + wrong);
    take_measurement(*item_.find("table"), folder, made_.tables->of);
  }

  void take_measurement(const value& where, const std::string& file, measurement of) {
    made_.measured = std::move(of);
    made_.measured.file = file;
    made_.measured.where = strict_json::error_at(origin_, where, "").message;
    made_.measured.where.erase(made_.measured.where.find_last_not_of(": ") + 1);
  }

  /// What only a roofline reads: beside measured times it would change nothing, unsaid.
  void refuse_unread(const std::string& spec) {
    if (made_.fidelity == fidelity_kind::roofline)
      return;
    const bool table = made_.fidelity == fidelity_kind::table;
    std::vector<const char*> unread{"layer_overhead_us", "mfu",
                                    "weight_efficiency", "kv_efficiency",
                                    "link_efficiency",   "batch_buckets"};
    if (!table)
      unread.insert(unread.end(),
                    {"step_overhead", "sequence_overhead_us", "hop_us", "link_gb_per_s"});
    const auto why = table                         ? std::string("beside `table`: its times")
                     : made_.measured.file.empty() ? "of `" + spec + "`: its times"
                                                   : std::string("beside `profile`: its times");
    for (const auto* name : unread)
      if (item_.find(name))
        reader_.fail(name, "nothing reads it " + why + " are given, not computed");
  }

  void read_recorded(const value& where, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file)
      return reader_.fail("profile", "cannot read " + path);
    auto read = read_profile(text.str());
    if (!read.error.empty())
      return reader_.fail("profile", path + ":" + std::to_string(read.line) + ": " + read.error);
    made_.points = std::move(read.points);
    made_.fidelity = fidelity_kind::rates;
    take_measurement(where, path, std::move(read.of));
    const auto chips = made_.group.tp * made_.group.pp;
    if (made_.measured.chips > 0 && made_.measured.chips != chips)
      reader_.fail("profile", path + " was measured with " + std::to_string(made_.measured.chips)
                                  + " chips as one, and `tp` times `pp` are "
                                  + std::to_string(chips));
  }

  void read_power() {
    const auto watts = [&](std::string_view name, std::uint64_t fallback_mw) {
      return static_cast<std::uint64_t>(
          reader_.number(name, static_cast<double>(fallback_mw) / 1e3, 0, 1e6) * 1e3);
    };
    made_.tdp_mw = watts("tdp_w", made_.tdp_mw);
    made_.idle_mw = watts("idle_w", made_.idle_mw);
    made_.cap_mw = watts("power_cap_w", made_.cap_mw);
    made_.sleep_mw = watts("sleep_w", made_.sleep_mw);
    made_.sleep_after_us = reader_.duration("sleep_after", made_.sleep_after_us);
    made_.wake_us = reader_.duration("wake", made_.wake_us);
    if (made_.idle_mw > made_.tdp_mw)
      reader_.fail(item_.find("idle_w") ? "idle_w" : "tdp_w",
                   "must be such that idle_w, here " + std::to_string(made_.idle_mw / 1'000)
                       + ", is not above tdp_w, here " + std::to_string(made_.tdp_mw / 1'000));
    if (made_.cap_mw > 0 && made_.cap_mw <= made_.idle_mw)
      reader_.fail("power_cap_w", "must be above idle_w");
    made_.cost_micros_per_hour = static_cast<std::uint64_t>(
        reader_.number("usd_per_h", static_cast<double>(made_.cost_micros_per_hour) / 1e6, 0, 1e6)
        * 1e6);
    made_.priced = made_.priced || item_.find("usd_per_h") != nullptr;
  }

  void read_building() {
    made_.load_us = reader_.duration("load", made_.load_us);
    made_.load_bytes_per_s = reader_.size("load_per_s", made_.load_bytes_per_s);
    if (made_.build_profile.empty())
      return;
    made_.compile_us = reader_.duration("compile", made_.compile_us);
    made_.compile_bytes_per_s = reader_.size("compile_per_s", made_.compile_bytes_per_s);
    made_.compile_mw = static_cast<std::uint64_t>(reader_.number("compile_w", 0, 0, 1e6) * 1e3);
  }

  void read_remote() {
    auto& terms = made_.remote;
    terms.requests_per_min = static_cast<std::uint32_t>(
        reader_.integer("requests_per_min", terms.requests_per_min, 0, 1LL << 31));
    terms.tokens_per_min = static_cast<std::uint64_t>(reader_.integer(
        "tokens_per_min", static_cast<std::int64_t>(terms.tokens_per_min), 0, 1LL << 40));
    const auto price = [&](std::string_view name, std::uint64_t fallback) {
      return static_cast<std::uint64_t>(
          reader_.number(name, static_cast<double>(fallback) / 1e3, 0, 1e6) * 1e3);
    };
    terms.micros_per_1k_input = price("usd_per_1m_input", terms.micros_per_1k_input);
    terms.micros_per_1k_output = price("usd_per_1m_output", terms.micros_per_1k_output);
    terms.first_token_us = reader_.duration("first_token", terms.first_token_us);
    terms.jitter_sigma = reader_.number("jitter", terms.jitter_sigma, 0, 3);
    if (reader_.member("tokens_per_s"))
      made_.points = points_of_rates(
          50'000, static_cast<std::uint64_t>(reader_.integer("tokens_per_s", 60, 1, 1'000'000)), 0);
  }

  /// Nothing of its own: two devices of its node do its work, whose names the node checks.
  device_model_ptr read_stages(const value& section) {
    object_reader side(section, origin_, failure_);
    member_stages members;
    side.require("prefill");
    side.require("decode");
    members.prefill = side.text("prefill");
    members.decode = side.text("decode");
    members.transfer_gb_per_s = gigabytes(side, section, "transfer", slot_gb_per_s, 0.001);
    members.transfer_us = side.duration("transfer_latency", 0);
    side.finish();
    made_ = plan_of_stages(std::move(members));
    read_name();
    made_.max_sequences = whole(reader_, "max_sequences", made_.max_sequences, 65'536);
    reader_.finish();
    return failure_ ? nullptr : std::make_shared<const device_model>(std::move(made_));
  }

  /// Prefill on devices of its own: the whole becomes a hybrid.
  void read_prefill(const value& section) {
    object_reader side(section, origin_, failure_);
    made_.prefill.device = nullptr;
    side.require("device");
    if (const auto* device = side.member("device"))
      made_.prefill.device = read_devices(*device, origin_, failure_).front();
    made_.prefill.transfer_gb_per_s = gigabytes(side, section, "transfer", slot_gb_per_s, 0.001);
    made_.prefill.transfer_us = side.duration("transfer_latency", 0);
    side.finish();
    if (!made_.prefill.device)
      return;
    const auto& other = *made_.prefill.device;
    made_.type = "hybrid";
    made_.tdp_mw += other.tdp_mw;
    made_.idle_mw += other.idle_mw;
    made_.priced = made_.priced && other.priced; // Else the whole would look cheap.
    made_.cost_micros_per_hour += other.cost_micros_per_hour;
    if (!other.build_profile.empty() || !made_.build_profile.empty())
      reader_.fail("prefill", "a device that runs built artifacts cannot be a side of a hybrid");
  }

  const value& item_;
  std::string_view origin_;
  std::optional<error>& failure_;
  object_reader reader_;
  device_model made_;
  std::uint32_t count_ = 1;
};

} // namespace

std::vector<device_model_ptr> read_devices(const value& item, std::string_view origin,
                                           std::optional<error>& failure) {
  if (item.type == strict_json::kind::object) {
    device_reader reader(item, origin, failure);
    const auto made = reader.read();
    return std::vector<device_model_ptr>(reader.count(), made);
  }
  const bool named = item.type == strict_json::kind::string;
  if (!named && !failure)
    failure = strict_json::error_at(origin, item, "expected a device's name or an object");
  auto found = named ? find_device_model(item.text) : nullptr;
  if (!found && !failure)
    failure = strict_json::error_at(origin, item,
                                    "unknown device `" + item.text + "`"
                                        + did_you_mean(item.text, device_model_names()));
  return {found};
}

std::optional<model_shape> read_shape(object_reader& reader) {
  if (!reader.member("shape"))
    return std::nullopt;
  const auto name = reader.text("shape");
  const auto* found = find_model_shape(name);
  if (!found) {
    reader.fail("shape", "unknown shape `" + name + "`" + did_you_mean(name, model_shape_names()));
    return std::nullopt;
  }
  auto made = *found;
  const auto bytes = [&](std::string_view field, double fallback) {
    if (!reader.member(field))
      return fallback;
    const auto word = reader.text(field);
    const auto each = bytes_of_dtype(word);
    if (each == 0)
      reader.fail(field, "unknown number type `" + word
                             + "`: expected bf16, f16, fp8, int8, q8_0, fp4 or int4");
    return each;
  };
  made.weight_bytes_each = bytes("dtype", made.weight_bytes_each);
  made.kv_bytes_each = bytes("kv_dtype", made.kv_bytes_each);
  return made;
}

} // namespace consort::sim
