// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Built artifacts on this node's disk, named by the SHA-256 of their content:
/// `<data>/artifacts/<sha256>/{payload,manifest.json}`, beside them `build.log`,
/// `validation.json`, `tree` (a payload that is a folder's bundle, unpacked), `used` and `kept`,
/// whose time and presence are what they say, and `preferred`, which names its keys. Content that
/// was built for several keys is there once, for all of them, and goes with the last. An artifact
/// is written in `<data>/staging/<pid>`, synced, and renamed into place whole, so a crash leaves
/// either all of it or nothing; a further key by a manifest in the place of the one before, so that
/// a crash leaves either all keys or all but that. Content is hashed before the first use in a
/// process and whenever the file has changed since; a corrupt one is moved to `<data>/corrupt` and
/// forgotten. Names are never taken from outside unchecked. Thread-safe.

#include "node/artifact_validation.hpp"
#include "node/limits.hpp"
#include "scheduler/types.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace consort::node {

class artifact_store;

/// A private folder of the store for one build; removed with all its content on destruction,
/// whether or not the artifact was put.
class staging_folder {
public:
  explicit staging_folder(std::string path) : path_(std::move(path)) {}
  ~staging_folder();
  staging_folder(staging_folder&& other) noexcept;
  staging_folder(const staging_folder&) = delete;
  staging_folder& operator=(const staging_folder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string output_path() const { return path_ + "/payload"; } ///< Not there yet.
  [[nodiscard]] std::string work_path() const { return path_ + "/work"; }      ///< A folder.
  [[nodiscard]] std::string log_path() const { return path_ + "/build.log"; }  ///< Not there yet.

private:
  std::string path_;
};

/// Keeps one artifact from being collected; released on destruction.
using artifact_pin = std::shared_ptr<const digest>;

/// What a collection removes: the least recently used beyond `size_bytes_max`, all unused for
/// `age_us_max`, and of each line (what is built of one model for one profile and target, whatever
/// the compiler's version) all but the newest `keep_last`; 0 = no bound. Pinned artifacts, those
/// marked as kept and those that are preferred stay. What several keys share is used when one of
/// them is, and among the newest when it is so for one.
struct collection_rule {
  std::uint64_t size_bytes_max = 0;
  duration_us age_us_max = 0;
  std::size_t keep_last = 0;
};

/// An artifact that stays where it is for as long as this lives. Its content was not looked at.
struct held_artifact {
  artifact_record record;
  std::string path;
  artifact_pin pin;
};

class artifact_store {
public:
  /// Opens or creates the store under `data_path` and reads its index. What processes
  /// that ended left in staging is removed. Folders that are no artifacts are reported by
  /// `complaints`.
  /// `artifacts_max` is for tests; others leave it. Errors: `disk_error`, `store_busy`.
  [[nodiscard]] static result<std::unique_ptr<artifact_store>>
  open(const std::string& data_path, node_id node,
       std::size_t artifacts_max = limits::artifacts_max);
  ~artifact_store();
  artifact_store(const artifact_store&) = delete;
  artifact_store& operator=(const artifact_store&) = delete;

  /// What the scan found unusable, once each, `not_an_artifact` what is not named by a digest;
  /// empties the list.
  [[nodiscard]] std::vector<error> complaints();
  /// One for each key of each content, in order of content; those of one content stand together.
  [[nodiscard]] std::vector<artifact_record> list() const;
  /// Of several of one key the one that is preferred, else the newest. Where one is preferred that
  /// another version of the same compiler built for the same, it stands for this key as well. One
  /// that is preferred or marked as kept is `held`.
  [[nodiscard]] std::optional<artifact_record> find(const artifact_key& key) const;
  /// One for each key, as find() says: what this node serves. In order of key.
  [[nodiscard]] std::vector<artifact_record> current() const;

  /// Free space beyond limits::disk_headroom_bytes.
  [[nodiscard]] std::uint64_t free_bytes() const;
  /// A staging folder, after checking that `size_bytes` plus limits::disk_headroom_bytes are free.
  [[nodiscard]] result<staging_folder> stage(std::uint64_t size_bytes);
  /// Hashes, syncs and moves `from`'s payload into place under `key`; a folder is packed first. The
  /// same content twice is one artifact, of all keys that it was put under; a second artifact of
  /// the same key replaces the first in `find`, which stays in the store. Errors: pack_folder()'s,
  /// `artifact_empty`, `artifact_missing`, `disk_full`, `store_full`; `hash_stopped` once `stop`.
  [[nodiscard]] result<artifact_record> put(staging_folder from, const artifact_key& key,
                                            std::map<std::string, std::string> quality,
                                            duration_us build_us,
                                            const std::atomic<bool>* stop = nullptr);
  /// The same for a copy from elsewhere: only `expected.content` is let in. `hashed`: the digest of
  /// what was written, from who took it while writing; without it the file is read once more.
  /// Further error: `artifact_corrupt`.
  [[nodiscard]] result<artifact_record> put_copy(staging_folder from,
                                                 const artifact_record& expected,
                                                 const std::optional<digest>& hashed = {});

  /// The same for all keys of one content, the first of which is returned. Requires: not empty.
  [[nodiscard]] result<artifact_record> put_copy(staging_folder from,
                                                 const std::vector<artifact_record>& expected,
                                                 const std::optional<digest>& hashed = {});

  /// The payload's path, verified; of a bundle the folder that it is unpacked to. Errors:
  /// unpack_bundle()'s, `artifact_missing`, `artifact_corrupt` (and the artifact
  /// is gone from the index).
  [[nodiscard]] result<std::string> path_of(const digest& content);
  [[nodiscard]] result<std::string> path_of(const artifact_key& key);

  /// The same without reading it, for those who check what they get. Errors: `artifact_missing`.
  [[nodiscard]] result<held_artifact> hold(const digest& content);

  [[nodiscard]] artifact_pin pin(const digest& content);
  /// Errors: `artifact_missing`, `artifact_pinned`.
  [[nodiscard]] result<done> remove(const digest& content);
  /// Takes one of its keys from a content; with the last it goes, as remove() has it. Errors:
  /// remove()'s.
  [[nodiscard]] result<done> forget(const digest& content, const artifact_key& key);
  /// What collect() would remove, the oldest first, each content once.
  [[nodiscard]] std::vector<artifact_record> collectable(const collection_rule& rule) const;
  /// Returns: what was removed.
  std::vector<artifact_record> collect(const collection_rule& rule);

  /// Moves what has no manifest.json, one that no version of us wrote, or not the payload that it
  /// tells of, out of the way, as a corrupt artifact is: nobody can use it. What cannot be read at
  /// the moment, is marked, is not named by a digest, or was written by a newer version of us
  /// stays. For who owns the store, or has it alone.
  void set_aside_unreadable();
  /// Takes up what another process put into the store since.
  void rescan();
  /// Whether no other process has the store open; then none can open it for as long as this is. To
  /// be asked once: whoever asked in vain no longer counts as having it open.
  [[nodiscard]] bool alone();

  /// A mark that keeps an artifact from being collected, by any process, until it is taken off.
  /// Errors: `artifact_missing`, `disk_error`.
  [[nodiscard]] result<done> mark_kept(const digest& content, bool wanted);
  [[nodiscard]] bool kept(const digest& content) const;

  /// Makes it the one that is served for its keys, and for those that differ in the compiler's
  /// version alone, until another of these is put or preferred. Errors: `artifact_missing`,
  /// `disk_error`.
  [[nodiscard]] result<done> prefer(const digest& content);
  [[nodiscard]] bool preferred(const digest& content) const;

  [[nodiscard]] artifact_validation validation_of(const digest& content) const;
  /// Remembers how a load of it went; `failure` empty = well. Best effort.
  void note_load(const digest& content, const std::string& device, duration_us load_us,
                 const std::string& failure);

  /// What its compiler printed; nothing when that is not known. Keeping one is best effort.
  [[nodiscard]] std::optional<std::string> log_of(const digest& content) const;
  void keep_log(const digest& content, const std::string& text);
  /// Of a build that failed, in `logs/` of the data folder; the latest limits::failed_logs_max
  /// stay. Returns: its path; empty when it could not be written.
  std::string keep_failed_log(const std::string& name, const std::string& text);

private:
  struct state; ///< In artifact_store_state.hpp.
  explicit artifact_store(std::unique_ptr<state> opened);
  std::unique_ptr<state> state_;
  std::mutex unpacking_; ///< One bundle at a time.
};

} // namespace consort::node
