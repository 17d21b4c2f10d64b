// SPDX-License-Identifier: Apache-2.0
#pragma once
/// SHA-256 of files and texts, and a cache for files that seldom change.

#include "node/limits.hpp"
#include "scheduler/types.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st; ///< OpenSSL's EVP_MD_CTX.

namespace consort::node {

/// Which content a path stood for when it was last looked at. Equal stamps = unchanged.
struct file_stamp {
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const file_stamp&, const file_stamp&) = default;
};

/// Errors: `file_missing` when it is not a readable regular file.
[[nodiscard]] result<file_stamp> stamp_file(const std::string& path);
/// SHA-256 of what is added, in that order (FIPS 180-4, by OpenSSL). May be moved, not copied.
class running_sha256 {
public:
  running_sha256();
  void add(const void* data, std::size_t size);
  /// Call once, as the last.
  [[nodiscard]] digest finish();

private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

/// Reads the whole file, unless `stop` becomes true. Errors: `file_missing`, `file_unreadable`,
/// `hash_stopped`.
[[nodiscard]] result<digest> hash_file(const std::string& path,
                                       const std::atomic<bool>* stop = nullptr);
[[nodiscard]] digest hash_text(std::string_view text);
/// 64 lower-case hex digits.
[[nodiscard]] bool is_digest(std::string_view text);

/// Digests of model files, kept by (path, size, modification time, inode) and, when `cache_path` is
/// given, across restarts; at most limits::digest_cache_entries_max. Thread-safe: one file is
/// hashed at a time, and those that are known are answered meanwhile.
class digest_cache {
public:
  explicit digest_cache(std::string cache_path = {});
  [[nodiscard]] result<digest> digest_of(const std::string& path);
  /// For good: what is being hashed, and what would be, ends with `hash_stopped`.
  void stop() { stopped_ = true; }

private:
  struct entry {
    file_stamp stamp;
    digest content;
  };
  [[nodiscard]] std::optional<digest> known(const std::string& path, const file_stamp& stamp);
  void load();
  void save() const;

  std::mutex hashing_; ///< Taken before guard_.
  std::mutex guard_;
  std::atomic<bool> stopped_ = false;
  std::string cache_path_;
  std::map<std::string, entry> entries_;
};

} // namespace consort::node
