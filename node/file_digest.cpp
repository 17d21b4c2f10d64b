// SPDX-License-Identifier: Apache-2.0
#include "node/file_digest.hpp"

#include "node/small_file.hpp"

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

namespace consort::node {

namespace {

constexpr std::size_t hash_block_bytes = 1024 * 1024;
constexpr std::uint64_t cache_file_bytes_max = 4 * 1024 * 1024;

error unreadable(const std::string& path) {
  return {recovery::refuse, "file_unreadable", path + ": " + std::strerror(errno)};
}

} // namespace

running_sha256::running_sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}

void running_sha256::add(const void* data, std::size_t size) {
  EVP_DigestUpdate(context_.get(), data, size);
}

digest running_sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_.get(), bytes.data(), &size);
  static constexpr std::string_view hex = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text += hex[bytes[i] >> 4U];
    text += hex[bytes[i] & 15U];
  }
  return digest(text);
}

result<file_stamp> stamp_file(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0)
    return error{recovery::refuse, "file_missing", path + ": " + std::strerror(errno)};
  if (!S_ISREG(found.st_mode))
    return error{recovery::refuse, "file_missing", path + ": not a regular file"};
  return file_stamp{static_cast<std::uint64_t>(found.st_size),
                    found.st_mtim.tv_sec * 1'000'000'000 + found.st_mtim.tv_nsec, found.st_ino};
}

result<digest> hash_file(const std::string& path, const std::atomic<bool>* stop) {
  if (const auto stamp = stamp_file(path); !stamp)
    return stamp.failure();
  const auto file = open_regular(path);
  if (file.get() < 0)
    return unreadable(path);
  running_sha256 hash;
  std::vector<char> block(hash_block_bytes);
  for (;;) {
    if (stop != nullptr && *stop)
      return error{recovery::retry_later, "hash_stopped", path + ": this process is stopping"};
    const auto count = ::read(file.get(), block.data(), block.size());
    if (count == 0)
      return hash.finish();
    if (count < 0 && errno != EINTR)
      return unreadable(path);
    if (count > 0)
      hash.add(block.data(), static_cast<std::size_t>(count));
  }
}

digest hash_text(std::string_view text) {
  running_sha256 hash;
  hash.add(text.data(), text.size());
  return hash.finish();
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

digest_cache::digest_cache(std::string cache_path) : cache_path_(std::move(cache_path)) {
  load();
}

result<digest> digest_cache::digest_of(const std::string& path) {
  const auto stamp = stamp_file(path);
  if (!stamp)
    return stamp.failure();
  if (const auto content = known(path, *stamp))
    return *content;
  const std::scoped_lock one_at_a_time(hashing_);
  if (const auto content = known(path, *stamp)) // Hashed while this one waited.
    return *content;
  auto content = hash_file(path, &stopped_);
  if (!content)
    return content;
  const std::scoped_lock lock(guard_);
  // A file still being written has another stamp by now; its digest is not worth remembering.
  const auto after = stamp_file(path);
  if (after && *after == *stamp) {
    if (entries_.size() >= limits::digest_cache_entries_max && !entries_.contains(path))
      entries_.erase(entries_.begin());
    entries_[path] = {*stamp, *content};
    save();
  }
  return content;
}

std::optional<digest> digest_cache::known(const std::string& path, const file_stamp& stamp) {
  const std::scoped_lock lock(guard_);
  const auto found = entries_.find(path);
  return found != entries_.end() && found->second.stamp == stamp
             ? std::optional(found->second.content)
             : std::nullopt;
}

void digest_cache::load() {
  std::ifstream file(cache_path_, std::ios::binary | std::ios::ate);
  if (cache_path_.empty() || !file
      || static_cast<std::uint64_t>(file.tellg()) > cache_file_bytes_max)
    return;
  file.seekg(0);
  const auto root = nlohmann::json::parse(file, nullptr, false);
  if (!root.is_object())
    return;
  for (const auto& [path, item] : root.items()) {
    if (entries_.size() == limits::digest_cache_entries_max || !item.is_array() || item.size() != 4
        || !item[0].is_number_unsigned() || !item[1].is_number_integer()
        || !item[2].is_number_unsigned() || !item[3].is_string()
        || !is_digest(item[3].get_ref<const std::string&>()))
      continue;
    entries_[path] = {
        {item[0].get<std::uint64_t>(), item[1].get<std::int64_t>(), item[2].get<std::uint64_t>()},
        digest(item[3].get<std::string>())};
  }
}

void digest_cache::save() const {
  if (cache_path_.empty())
    return;
  auto root = nlohmann::json::object();
  for (const auto& [path, known] : entries_)
    root[path]
        = {known.stamp.size_bytes, known.stamp.modified_ns, known.stamp.inode, known.content.value};
  const auto text = root.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // Losing it costs a hash, which is not worth an error.
  static_cast<void>(replace_file(cache_path_, text));
}

} // namespace consort::node
