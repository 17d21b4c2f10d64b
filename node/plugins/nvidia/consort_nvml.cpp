// SPDX-License-Identifier: Apache-2.0
// consort-nvml: NVIDIA's devices as one line of JSON, once or every so many seconds. The partitions
// (MIG) of a board follow it, and name it as their parent; power and energy are the board's. With
// --watch it hears of the driver's errors (XID) as they happen. Each that matters stays until it
// ends, whatever else is heard: a board is not reset while somebody holds it, and this does. With
// --keep fatal ones stay until the host boots, or the driver says that the board is well again.
#include "node/plugins/nvidia/kept_xids.hpp"
#include "node/plugins/nvidia/nvml.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace consort::nvml;
using nlohmann::json;

constexpr int version_major = 1;

/// After these the board gives wrong results or none: memory that cannot be trusted (48, 64, 95),
/// NVLink broken (74), off the bus (79).
const xid_set xids_fatal{48, 64, 74, 79, 95};
/// It goes on, and should be looked at: rows remapped at the next reset (63), an error contained
/// to one process (94). Others are faults of programs.
const xid_set xids_bad{63, 94};

constexpr unsigned long long xid_double_bit = 48;

/// What a board's driver said so far, of the two lists.
struct heard_xids {
  xid_set fatal, bad;
  xid_set earlier; ///< Fatal, since the host booted and before this began.
};

/// `XID 48, XID 79`; empty of none.
std::string xid_words(const xid_set& xids) {
  std::string made;
  for (const auto xid : xids)
    made += (made.empty() ? "XID " : ", XID ") + std::to_string(xid);
  return made;
}

/// One reason behind another.
std::string both(const std::string& first, const std::string& then) {
  return first + (first.empty() || then.empty() ? "" : ", ") + then;
}

/// What a driver asks to be done with a board.
std::string recovery_words(unsigned action) {
  switch (action) {
  case recovery_none: return {};
  case recovery_board_reset: return "its driver asks for a reset of the board";
  case recovery_host_reboot: return "its driver asks for a reboot of the host";
  case recovery_drain_peers: return "its driver asks that traffic between boards ends";
  case recovery_drain_and_reset: return "works in part, and its driver asks for a reset";
  default: return "its driver asks for recovery action " + std::to_string(action);
  }
}

class board_list {
public:
  board_list(library found, kept_xids kept) : nvml_(found), kept_(std::move(kept)) {}

  [[nodiscard]] json read() {
    json devices = json::array();
    unsigned count = 0;
    if (const auto said = nvml_.count(&count); said != ok)
      return {{"error", word(said)}};
    for (unsigned index = 0; index < count; ++index) {
      handle board = nullptr;
      const auto said = nvml_.by_index(index, &board);
      if (said != ok) {
        // A lost board has no handle: it is missing, which its agent takes for unhealthy.
        std::fprintf(stderr, "consort-nvml: board %u: %s\n", index, word(said).c_str());
        continue;
      }
      add(devices, board, index);
    }
    char driver[80] = "";
    if (nvml_.driver_version != nullptr)
      nvml_.driver_version(driver, sizeof driver);
    for (auto& one : devices)
      one["driver"] = driver;
    return {{"devices", std::move(devices)}};
  }

  /// Waits so long and takes note of what happens meanwhile.
  void wait(std::chrono::milliseconds span) {
    if (deaf_ || (events_ == nullptr && !listen())) {
      deaf_ = true; // What cannot be listened to now never can: no set of events is made again.
      std::this_thread::sleep_for(span);
      return;
    }
    const auto until = std::chrono::steady_clock::now() + span;
    for (auto left = span; left.count() > 0;
         left = std::chrono::duration_cast<std::chrono::milliseconds>(
             until - std::chrono::steady_clock::now())) {
      event_data what{};
      if (nvml_.wait_event(events_, &what, static_cast<unsigned>(left.count())) != ok) {
        std::this_thread::sleep_until(until); // Its time is up, or it cannot wait.
        return;
      }
      if ((what.type & (event_xid | event_double_bit)) != 0)
        hear(what.device, what.type == event_xid ? what.data : xid_double_bit);
    }
  }

  [[nodiscard]] std::string word(int said) const {
    const char* text = nvml_.error_string == nullptr ? nullptr : nvml_.error_string(said);
    return text == nullptr ? "error " + std::to_string(said) : text;
  }

private:
  /// A fatal one is mostly followed by those of the programs that it ended.
  void hear(handle board, unsigned long long xid) {
    if (xids_fatal.contains(xid)) {
      heard_[board].fatal.insert(xid);
      if (const auto known = uuids_.find(board); known != uuids_.end())
        kept_.add(known->second, xid);
    } else if (xids_bad.contains(xid))
      heard_[board].bad.insert(xid);
  }

  /// Seen for the first time: what fell before this began is down still, unless the driver says
  /// that it is well. Drivers that do not say so leave it to a boot, or to who removes the file.
  void meet(handle board) {
    const auto uuid = text_of(nvml_.uuid, board);
    if (!uuid.is_string() || !uuids_.emplace(board, uuid.get<std::string>()).second)
      return;
    const auto earlier = kept_.of(uuids_[board]);
    if (earlier.empty())
      return;
    if (recovery_of(board) == recovery_none)
      kept_.forget(uuids_[board]);
    else
      heard_[board].earlier = earlier;
  }

  /// Nothing where the driver does not say.
  [[nodiscard]] std::optional<unsigned> recovery_of(handle board) const {
    field_value asked{};
    asked.field = field_recovery_action;
    if (nvml_.fields == nullptr || nvml_.fields(board, 1, &asked) != ok || asked.status != ok
        || asked.type != type_unsigned_int)
      return std::nullopt;
    return asked.value[0];
  }

  /// Returns: whether there is something to wait for.
  bool listen() {
    unsigned count = 0;
    if (nvml_.make_events == nullptr || nvml_.watch_events == nullptr || nvml_.wait_event == nullptr
        || nvml_.make_events(&events_) != ok || nvml_.count(&count) != ok) {
      events_ = nullptr;
      return false;
    }
    bool any = false;
    for (unsigned index = 0; index < count; ++index)
      if (handle board = nullptr; nvml_.by_index(index, &board) == ok)
        any = nvml_.watch_events(board, event_xid | event_double_bit, events_) == ok || any;
    if (!any)
      events_ = nullptr;
    return any;
  }

  template <class Value, class Ask>
  [[nodiscard]] static json value_of(Ask ask, handle device) {
    Value value{};
    return ask != nullptr && ask(device, &value) == ok ? json(value) : json(nullptr);
  }

  [[nodiscard]] json text_of(int (*ask)(handle, char*, unsigned), handle device) const {
    char text[96] = "";
    return ask(device, text, sizeof text) == ok ? json(text) : json(nullptr);
  }

  [[nodiscard]] bool linked(handle one, handle other) const {
    int status = -1;
    return nvml_.p2p_status != nullptr && nvml_.p2p_status(one, other, p2p_by_nvlink, &status) == ok
           && status == p2p_ok;
  }

  /// Boards that NVLink joins, directly or by way of others, are one island, named by the first of
  /// their UUIDs. All that it joins to nobody are close as their host is.
  [[nodiscard]] json find_island(handle board) const {
    unsigned count = 0;
    if (nvml_.count(&count) != ok)
      return nullptr;
    std::vector<handle> island{board};
    for (std::size_t at = 0; at < island.size(); ++at)
      for (unsigned index = 0; index < count; ++index)
        if (handle other = nullptr;
            nvml_.by_index(index, &other) == ok
            && std::find(island.begin(), island.end(), other) == island.end()
            && linked(island[at], other))
          island.push_back(other);
    json name = "host";
    if (island.size() > 1)
      for (name = text_of(nvml_.uuid, board); const auto each : island)
        name = std::min(name, text_of(nvml_.uuid, each));
    return name;
  }

  /// As it was found first: asking for all pairs of boards each time takes too long.
  [[nodiscard]] const json& island_of(handle board) {
    const auto known = islands_.find(board);
    return known != islands_.end() ? known->second
                                   : islands_.emplace(board, find_island(board)).first->second;
  }

  /// What is the same for a board and each of its partitions.
  [[nodiscard]] json shared(handle board, unsigned index) const {
    json one{{"index", index}, {"board", text_of(nvml_.uuid, board)}};
    if (pci_info where{}; nvml_.pci != nullptr && nvml_.pci(board, &where) == ok)
      one["pci"] = where.bus_id;
    if (int major = 0, minor = 0; nvml_.compute_capability != nullptr
                                  && nvml_.compute_capability(board, &major, &minor) == ok)
      one["compute_capability"] = std::to_string(major) + "." + std::to_string(minor);
    one["power_mw"] = value_of<unsigned>(nvml_.power, board);
    one["power_limit_mw"] = value_of<unsigned>(nvml_.power_limit, board);
    one["energy_mj"] = value_of<unsigned long long>(nvml_.energy, board);
    unsigned heat = 0;
    if (nvml_.temperature != nullptr && nvml_.temperature(board, 0, &heat) == ok)
      one["temperature_c"] = heat;
    judge(board, one);
    return one;
  }

  /// What was heard of a board, and what its driver asks for.
  void judge_errors(handle board, std::string& bad, std::string& fatal) const {
    if (const auto heard = heard_.find(board); heard != heard_.end()) {
      bad = xid_words(heard->second.bad);
      fatal = xid_words(heard->second.fatal);
      if (const auto& earlier = heard->second.earlier; !earlier.empty())
        fatal = both(fatal, xid_words(earlier) + " (earlier: after a reset of the board remove "
                                + kept_.path() + ")");
    }
    const auto action = recovery_of(board).value_or(recovery_none);
    auto& worst
        = action == recovery_drain_peers || action == recovery_drain_and_reset ? bad : fatal;
    worst = both(recovery_words(action), worst);
  }

  /// Health, and why.
  void judge(handle board, json& one) const {
    std::string bad, fatal;
    judge_errors(board, bad, fatal);
    if (memory_info memory{}; nvml_.memory != nullptr) {
      const auto said = nvml_.memory(board, &memory);
      if (said == gpu_is_lost || said == reset_required)
        fatal = both(word(said), fatal);
    }
    unsigned long long errors = 0;
    if (nvml_.ecc_errors != nullptr && nvml_.ecc_errors(board, 1, 0, &errors) == ok && errors > 0)
      bad = std::to_string(errors) + " memory errors that could not be corrected";
    unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
    if (nvml_.remapped_rows != nullptr
        && nvml_.remapped_rows(board, &corrected, &uncorrected, &pending, &failed) == ok) {
      if (failed != 0)
        fatal = both("rows of its memory could not be remapped", fatal);
      else if (pending != 0)
        bad = "rows of its memory are remapped at its next reset";
    }
    unsigned long long reasons = 0;
    if (nvml_.throttle != nullptr && nvml_.throttle(board, &reasons) == ok
        && (reasons & (hardware_slowdown | thermal | power_brake)) != 0)
      bad = (reasons & power_brake) != 0 ? "slowed by its power supply" : "slowed by its heat";
    one["health"] = !fatal.empty() ? "unhealthy" : !bad.empty() ? "degraded" : "healthy";
    one["reason"] = fatal.empty() ? bad : fatal;
  }

  void describe(json& one, handle device) const {
    one["uuid"] = text_of(nvml_.uuid, device);
    one["name"] = text_of(nvml_.name, device);
    // Some drivers for integrated and virtual boards count no memory.
    if (memory_info memory{};
        nvml_.memory != nullptr && nvml_.memory(device, &memory) == ok && memory.total > 0) {
      one["memory_bytes"] = memory.total;
      one["memory_used_bytes"] = memory.used;
    }
    if (utilization_rates busy{};
        nvml_.utilization != nullptr && nvml_.utilization(device, &busy) == ok)
      one["utilization"] = busy.gpu;
  }

  void add(json& devices, handle board, unsigned index) {
    unsigned now = 0, pending = 0, most = 0;
    const bool parted = nvml_.mig_mode != nullptr && nvml_.mig_by_index != nullptr
                        && nvml_.mig_count_max != nullptr
                        && nvml_.mig_mode(board, &now, &pending) == ok && now != 0
                        && nvml_.mig_count_max(board, &most) == ok;
    meet(board);
    auto common = shared(board, index);
    devices.push_back(common);
    devices.back()["mig"] = parted ? "on" : "no";
    devices.back()["group"] = parted ? common["board"] : island_of(board); // Its parts run models.
    describe(devices.back(), board);
    for (const auto* of_the_board : {"power_mw", "power_limit_mw", "energy_mj"})
      common.erase(of_the_board);
    for (unsigned part = 0; parted && part < most; ++part)
      if (handle device = nullptr; nvml_.mig_by_index(board, part, &device) == ok) {
        devices.push_back(common);
        devices.back()["mig"] = "partition";
        devices.back()["parent"] = common["board"];
        describe(devices.back(), device);
        // No number names a partition: CUDA takes its UUID, and the board's number for the first.
        // And it uses one partition at a time: none is close to another.
        devices.back()["index"] = devices.back()["group"] = devices.back()["uuid"];
      }
  }

  const library nvml_;
  kept_xids kept_;
  event_set events_ = nullptr;
  bool deaf_ = false; ///< Nothing can be listened to.
  std::map<handle, heard_xids> heard_;
  std::map<handle, std::string> uuids_; ///< Of boards that were seen: a lost one tells none.
  std::map<handle, json> islands_;
};

int run(board_list& boards, int every_ms) {
  while (true) {
    const auto read = boards.read();
    if (read.contains("error")) {
      std::fprintf(stderr, "consort-nvml: %s\n", read["error"].get<std::string>().c_str());
      return 1;
    }
    std::puts(read.dump(-1, ' ', true, json::error_handler_t::replace).c_str());
    std::fflush(stdout);
    if (every_ms == 0)
      return 0;
    boards.wait(std::chrono::milliseconds(every_ms));
  }
}

} // namespace

int main(int count, char** words) {
  int every_ms = 0;
  std::string kept_in; // Empty = nothing outlives this.
  if (count == 2 && std::string_view(words[1]) == "--version") {
    std::printf("consort-nvml %d\n", version_major);
    return 0;
  }
  const bool keeps = count == 5 && std::string_view(words[3]) == "--keep";
  if ((count == 3 || keeps) && std::string_view(words[1]) == "--watch")
    every_ms = static_cast<int>(std::strtod(words[2], nullptr) * 1000);
  else if (count != 1)
    every_ms = -1;
  if (keeps)
    kept_in = words[4];
  if (every_ms < 0 || (count > 1 && every_ms == 0)) {
    std::fputs("usage: consort-nvml [--watch SECONDS [--keep FOLDER] | --version]\n", stderr);
    return 2;
  }
  const char* chosen = std::getenv("CONSORT_NVML");
  library found;
  if (const auto why = load(chosen == nullptr ? "" : chosen, found); !why.empty()) {
    std::fprintf(stderr, "consort-nvml: %s\n", why.c_str());
    return 1;
  }
  board_list boards(found, kept_xids(kept_in, boot_of_host()));
  if (const auto said = found.init(); said != ok) {
    std::fprintf(stderr, "consort-nvml: %s%s\n", boards.word(said).c_str(),
                 said == version_mismatch ? ": the driver was replaced; restart the host" : "");
    return 1;
  }
  const auto status = run(boards, every_ms);
  if (found.shutdown != nullptr)
    found.shutdown();
  return status;
}
