// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What artifact_store knows of its folder, and how it finds, chooses, writes and drops what is in
/// it. Private to artifact_store.cpp and artifact_index.cpp. Its functions want the lock unless
/// they say that they take it.

#include "node/artifact_manifest.hpp"
#include "node/artifact_store.hpp"
#include "node/file_digest.hpp"
#include "node/process_group.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace consort::node {

[[nodiscard]] std::int64_t unix_now_s();
[[nodiscard]] error artifact_missing(const std::string& what);
/// Engines that may stand for each other when an operator says so: all but the compiler's version
/// is the same. What a server compiled is for that version alone.
[[nodiscard]] bool may_stand_for(const artifact_key& one, const artifact_key& other);

struct artifact_store::state {
  /// One content: a folder of the store.
  struct entry {
    artifact_manifests made;            ///< As its manifest.json says, and of this node.
    file_stamp read;                    ///< Of manifest.json, when it was.
    std::int64_t used_s = 0;            ///< Last use, for collection.
    std::optional<file_stamp> verified; ///< Stamp under which the content was last hashed.
    artifact_pin pin;                   ///< Use count above 1 = pinned by others.
  };
  /// What choose() found. Valid until the entries change.
  struct choice {
    const artifact_manifest* made = nullptr;   ///< Null = nothing is there for the key.
    const artifact_manifest* newest = nullptr; ///< Of the key itself.
    bool preferred = false;
  };

  std::string root;
  node_id node;
  std::size_t artifacts_max = limits::artifacts_max;
  mutable std::mutex guard;
  std::map<digest, entry> entries;
  std::vector<error> complaints;
  std::set<std::string> complained; ///< Of what, so that each scan tells only what is new.
  std::set<digest> unusable;        ///< Folders that set_aside_unreadable() is to take.
  std::uint64_t staged = 0;
  unique_fd opened_lock; ///< Shared by whoever has the store open.

  [[nodiscard]] std::string folder(const digest& content) const {
    return root + "/artifacts/" + content.value;
  }
  [[nodiscard]] bool marked(const digest& content, const char* mark) const;
  /// A new folder's path, of this process.
  [[nodiscard]] std::string staging();
  /// Of all contents together: what limits::artifacts_max bounds.
  [[nodiscard]] std::size_t keys() const;

  /// Takes up what is new in the folder.
  void scan();
  void scan_one(const std::string& name);
  /// Removes a folder so that no process that dies meanwhile leaves half of it.
  void drop(const std::string& path);
  /// Moves a bad artifact out of the way, for people to look at; only the latest is kept.
  void discard(const digest& content);
  /// Hashes what was not hashed yet, without the lock, which it takes: a large artifact must not
  /// hold up the others.
  [[nodiscard]] result<std::string> verify(const digest& content);
  void note_hashed(const digest& content) const;

  /// Of several of one key the one that is preferred, else one that another version of the compiler
  /// built and that is preferred, else the newest. Nothing stands for a key that has none of its
  /// own: that one is to be built.
  [[nodiscard]] choice choose(const artifact_key& key) const;
  /// The keys for which a content was gone back to. An empty mark, as versions wrote it that knew
  /// of one key alone, is for the first.
  [[nodiscard]] std::vector<artifact_key> preferred_keys(const digest& content,
                                                         const entry& one) const;
  /// Takes back what was preferred for the key, or for one that it may stand for; a content that is
  /// preferred for others as well stays so.
  void drop_preference(const artifact_key& key);
  /// Best effort: where it cannot be written, none is.
  void mark_preferred(const digest& content, const artifact_manifests& made);
  /// Takes the lock.
  [[nodiscard]] std::int64_t after_others(const artifact_manifest& fresh) const;
  [[nodiscard]] std::size_t newer_in_line(const digest& content,
                                          const artifact_manifest& made) const;

  /// Puts the payload in `from` into place for all of `fresh`, which are of one content, beside
  /// the keys that it has already. Takes the lock.
  [[nodiscard]] result<artifact_record> store(const staging_folder& from, artifact_manifests fresh);
  [[nodiscard]] std::optional<error> place(const staging_folder& from, const digest& content,
                                           const artifact_manifests& made);
  [[nodiscard]] std::optional<error> renew(const staging_folder& from, const digest& content,
                                           const artifact_manifests& made);
  /// Leaves a content to the keys in `made`.
  [[nodiscard]] result<done> leave(const digest& content, artifact_manifests made);
  /// Makes the entry what its folder's manifest says, which had that stamp.
  entry& take_up(const digest& content, artifact_manifests made, const file_stamp& read);
};

} // namespace consort::node
