// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/nvidia/kept_xids.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace consort::nvml {

using nlohmann::json;

namespace {

/// Empty where it cannot be read, or is longer than `bytes_max`.
std::string text_of(const std::string& path, std::size_t bytes_max) {
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path, failed))
    return {};
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text.size() > bytes_max ? std::string() : text;
}

} // namespace

std::string boot_of_host() {
  constexpr std::size_t id_bytes_max = 64;
  auto text = text_of("/proc/sys/kernel/random/boot_id", id_bytes_max);
  text.resize(text.find_last_not_of(" \n") + 1);
  return text;
}

kept_xids::kept_xids(const std::string& folder, std::string boot)
    : path_(folder.empty() || boot.empty() ? std::string() : folder + "/xids.json"),
      boot_(std::move(boot)) {
  if (!path_.empty())
    load();
}

void kept_xids::load() {
  const auto read = json::parse(text_of(path_, file_bytes_max), nullptr, false);
  if (!read.is_object() || !read.contains("boot") || !read["boot"].is_string()
      || read["boot"].get<std::string>() != boot_ || !read.contains("boards"))
    return;
  for (const auto& [uuid, xids] : read["boards"].items())
    for (const auto& xid : xids)
      if (xid.is_number_unsigned())
        boards_[uuid].insert(xid.get<unsigned long long>());
}

xid_set kept_xids::of(const std::string& uuid) const {
  const auto found = boards_.find(uuid);
  return found == boards_.end() ? xid_set{} : found->second;
}

void kept_xids::add(const std::string& uuid, unsigned long long xid) {
  if (!path_.empty() && !uuid.empty() && boards_[uuid].insert(xid).second)
    write();
}

void kept_xids::forget(const std::string& uuid) {
  if (boards_.erase(uuid) > 0)
    write();
}

/// Through a file beside it: who is killed in the middle leaves what was there before. Not flushed,
/// since what a loss of power takes would be of another boot.
void kept_xids::write() {
  const auto fresh = path_ + ".new";
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  const auto text = json{{"boot", boot_}, {"boards", boards_}}.dump() + "\n";
  file << text;
  file.close();
  if ((!file || std::rename(fresh.c_str(), path_.c_str()) != 0) && !std::exchange(said_, true))
    std::fprintf(stderr, "consort-nvml: %s: %s; its errors are forgotten when this ends\n",
                 path_.c_str(), std::strerror(errno));
}

} // namespace consort::nvml
