// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/device.hpp"

#include "node/plugins/reference/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace consort::reference {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint32_t> number(const std::string& text) {
  std::uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// FNV-1a: names need to differ between hosts, not to resist anyone.
std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 0xCBF29CE484222325ULL;
  for (const char byte : text)
    value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3ULL;
  return value;
}

std::string machine() {
  std::string id;
  std::getline(std::ifstream("/etc/machine-id"), id);
  if (!id.empty())
    return id;
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown-host";
}

std::string reading_path(std::uint32_t device, std::uint64_t session) {
  return state_folder() + "/npu" + std::to_string(device) + "." + std::to_string(getpid()) + "."
         + std::to_string(session) + ".json";
}

std::optional<reading> parse_reading(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limits::telemetry_file_bytes_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  reading found;
  const auto take = [&](const char* name, auto& into) {
    if (!parsed.is_object() || !parsed.contains(name) || !parsed[name].is_number())
      return false;
    parsed[name].get_to(into);
    return true;
  };
  if (!take("device", found.device) || !take("pid", found.pid)
      || !take("memory_bytes", found.memory_bytes) || !take("utilization", found.utilization)
      || !take("updated_ms", found.updated_ms))
    return std::nullopt;
  return found;
}

} // namespace

const char* stack_version() {
  const char* said = std::getenv("REFNPU_STACK");
  return said != nullptr && *said != '\0' ? said : "1.0.0";
}

std::uint32_t device_count() {
  const char* wanted = std::getenv("REFNPU_DEVICES");
  const auto count = number(wanted == nullptr ? "" : wanted);
  return std::min(count.value_or(limits::devices_default), limits::devices_max);
}

std::string device_uuid(std::uint32_t index) {
  char text[40];
  std::snprintf(text, sizeof text, "REFNPU-%016llx-%02u",
                static_cast<unsigned long long>(hash(machine())), index);
  return text;
}

std::optional<std::uint32_t> find_device(const std::string& name) {
  if (name.empty())
    return 0;
  for (std::uint32_t index = 0; index < device_count(); ++index)
    if (name == device_uuid(index) || number(name) == index)
      return index;
  return std::nullopt;
}

std::string state_folder() {
  if (const char* folder = std::getenv("REFNPU_STATE"); folder != nullptr && *folder != '\0')
    return folder;
  if (const char* folder = std::getenv("XDG_RUNTIME_DIR"); folder != nullptr && *folder != '\0')
    return std::string(folder) + "/refnpu";
  return "/tmp/refnpu-" + std::to_string(getuid());
}

void write_reading(const reading& now, std::uint64_t session) {
  std::error_code ignored;
  if (fs::create_directories(state_folder(), ignored))
    (void)chmod(state_folder().c_str(), S_IRWXU);
  const std::string path = reading_path(now.device, session);
  const std::string fresh = path + ".new";
  std::ofstream(fresh, std::ios::trunc) << nlohmann::json{
      {"device", now.device},
      {"pid", now.pid},
      {"memory_bytes", now.memory_bytes},
      {"utilization", now.utilization},
      {"updated_ms", now.updated_ms}}.dump();
  fs::rename(fresh, path, ignored); // A reader sees the old reading or the new one, never half.
}

void remove_reading(std::uint32_t device, std::uint64_t session) {
  std::error_code ignored;
  fs::remove(reading_path(device, session), ignored);
}

std::vector<reading> read_readings(std::int64_t now_ms) {
  std::vector<reading> all;
  std::error_code failed;
  for (fs::directory_iterator entry(state_folder(), failed), end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->path().extension() != ".json")
      continue;
    const auto found = parse_reading(entry->path());
    if (found && now_ms - found->updated_ms <= limits::telemetry_stale_ms
        && kill(static_cast<pid_t>(found->pid), 0) == 0)
      all.push_back(*found);
  }
  return all;
}

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

} // namespace consort::reference
