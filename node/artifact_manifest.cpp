// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_manifest.hpp"

#include "node/file_digest.hpp"

#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t text_bytes_max = 512;
constexpr std::size_t buckets_max = 64;
constexpr std::array<const char*, 3> kinds{"weights", "architecture", "cache"};

/// Reads fields of one object and remembers the first that is wrong.
class manifest_reader {
public:
  explicit manifest_reader(const json& object) : object_(object) {}

  std::string text(const char* name) {
    const auto* value = find(name, &json::is_string);
    if (value == nullptr)
      return {};
    auto read = value->get<std::string>();
    if (read.size() > text_bytes_max)
      wrong_ = name;
    return read;
  }
  std::uint64_t whole(const char* name) {
    const auto* value = find(name, &json::is_number_unsigned);
    return value == nullptr ? 0 : value->get<std::uint64_t>();
  }
  bool boolean(const char* name) {
    const auto* value = find(name, &json::is_boolean);
    return value != nullptr && value->get<bool>();
  }
  json object(const char* name) {
    const auto* value = find(name, &json::is_object);
    return value == nullptr ? json::object() : *value;
  }
  json array(const char* name) {
    const auto* value = find(name, &json::is_array);
    return value == nullptr ? json::array() : *value;
  }
  void fail(const char* name) { wrong_ = name; }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

private:
  const json* find(const char* name, bool (json::*is)() const noexcept) {
    const auto found = object_.find(name);
    if (found != object_.end() && ((*found).*is)())
      return &*found;
    wrong_ = name;
    return nullptr;
  }

  const json& object_;
  std::string wrong_;
};

json write_profile(const build_profile& profile) {
  return {{"name", profile.name},
          {"target", profile.target},
          {"compiler", profile.compiler},
          {"compiler_version", profile.compiler_version},
          {"flags", profile.flags},
          {"degree", profile.degree},
          {"dtype", profile.dtype},
          {"shape_buckets", profile.shape_buckets},
          {"needs_device", profile.needs_device}};
}

build_profile read_profile(const json& object, std::string& wrong) {
  manifest_reader read(object);
  build_profile profile;
  profile.name = read.text("name");
  profile.target = read.text("target");
  profile.compiler = read.text("compiler");
  profile.compiler_version = read.text("compiler_version");
  profile.flags = read.text("flags");
  profile.degree = static_cast<std::uint32_t>(read.whole("degree"));
  profile.dtype = read.text("dtype");
  profile.needs_device = read.boolean("needs_device");
  const auto buckets = read.array("shape_buckets");
  for (const auto& bucket : buckets) {
    if (!bucket.is_number_unsigned() || profile.shape_buckets.size() == buckets_max) {
      read.fail("shape_buckets");
      break;
    }
    profile.shape_buckets.push_back(bucket.get<std::uint32_t>());
  }
  wrong = read.wrong();
  return profile;
}

std::map<std::string, std::string> read_quality(const json& object, manifest_reader& read) {
  std::map<std::string, std::string> quality;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string() || name.size() > text_bytes_max
        || value.get_ref<const std::string&>().size() > text_bytes_max
        || quality.size() == limits::quality_entries_max) {
      read.fail("quality");
      break;
    }
    quality[name] = value.get<std::string>();
  }
  return quality;
}

/// What differs from key to key.
json write_made(const artifact_manifest& made) {
  return {{"kind", kinds.at(static_cast<std::size_t>(made.record.key.kind))},
          {"binds", made.record.key.binds},
          {"profile", write_profile(made.record.key.profile)},
          {"build_us", made.record.build_us},
          {"created_s", made.created_s},
          {"quality", made.record.quality}};
}

/// Returns: the field that is wrong; empty when none is.
std::string read_made(const json& object, artifact_manifest& made) {
  manifest_reader read(object);
  auto& record = made.record;
  const auto kind = read.text("kind");
  const auto* const found = std::find(kinds.begin(), kinds.end(), kind);
  if (found == kinds.end())
    read.fail("kind");
  else
    record.key.kind = static_cast<artifact_kind>(found - kinds.begin());
  record.key.binds = read.text("binds");
  std::string wrong;
  record.key.profile = read_profile(read.object("profile"), wrong);
  record.build_us = static_cast<duration_us>(read.whole("build_us") & 0x7fffffffffffffff);
  made.created_s = static_cast<std::int64_t>(read.whole("created_s") & 0x7fffffffffffffff);
  record.quality = read_quality(read.object("quality"), read);
  return wrong.empty() ? read.wrong() : "profile/" + wrong;
}

/// The further keys of the content whose first is `made`'s. Returns: as read_made().
std::string read_also(const json& list, artifact_manifests& made) {
  if (!list.is_array() || list.size() >= limits::artifact_keys_max)
    return "also";
  for (const auto& object : list) {
    artifact_manifest one;
    one.record.content = made.front().record.content;
    one.record.size_bytes = made.front().record.size_bytes;
    if (!object.is_object())
      return "also";
    if (auto wrong = read_made(object, one); !wrong.empty())
      return "also/" + wrong;
    for (const auto& before : made)
      if (before.record.key == one.record.key)
        return "also";
    made.push_back(std::move(one));
  }
  return {};
}

} // namespace

std::string write_manifest(const artifact_manifests& made) {
  auto root = write_made(made.front());
  root["schema"] = 1;
  root["sha256"] = made.front().record.content.value;
  root["size_bytes"] = made.front().record.size_bytes;
  for (std::size_t at = 1; at < made.size(); ++at)
    root["also"].push_back(write_made(made[at]));
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

void add_manifest(artifact_manifests& made, artifact_manifest fresh) {
  const auto key = fresh.record.key;
  const auto same = std::find_if(made.begin(), made.end(),
                                 [&](const auto& one) { return one.record.key == key; });
  if (same != made.end())
    *same = std::move(fresh);
  else
    made.push_back(std::move(fresh));
  while (made.size() > 1
         && (made.size() > limits::artifact_keys_max
             || write_manifest(made).size() > limits::manifest_bytes_max)) {
    const auto oldest
        = std::min_element(made.begin(), made.end(), [&](const auto& left, const auto& right) {
            return std::pair(left.record.key == key, left.created_s)
                   < std::pair(right.record.key == key, right.created_s);
          });
    made.erase(oldest);
  }
}

result<artifact_manifests> read_manifest(std::string_view text) {
  const auto root = text.size() > limits::manifest_bytes_max
                        ? json()
                        : json::parse(text.begin(), text.end(), nullptr, false);
  if (!root.is_object())
    return error{recovery::refuse, "manifest_unreadable", "not a JSON object"};
  manifest_reader read(root);
  artifact_manifests made(1);
  auto& record = made.front().record;
  if (read.whole("schema") != 1)
    read.fail("schema");
  record.content = digest(read.text("sha256"));
  if (!is_digest(record.content.value))
    read.fail("sha256");
  record.size_bytes = read.whole("size_bytes");
  auto wrong = read.wrong().empty() ? read_made(root, made.front()) : read.wrong();
  if (const auto also = root.find("also"); wrong.empty() && also != root.end())
    wrong = read_also(*also, made);
  if (!wrong.empty())
    return error{recovery::refuse, "artifact_manifest", "bad field " + wrong};
  return made;
}

result<artifact_manifests> load_manifest(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0 && errno == ENOENT)
    return error{recovery::refuse, "manifest_unreadable", "there is none"};
  std::ifstream file(path, std::ios::binary);
  std::string text(limits::manifest_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.eof() || file.bad())
    return error{recovery::retry_later, "disk_error",
                 "cannot be read, or is longer than any of ours"};
  return read_manifest(text);
}

} // namespace consort::node
