// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The hub's cache on this host's disk, in the layout of the hub's own tools, so that what they
/// fetched is used and what we fetched is theirs: `models--ORG--REPO/blobs/<sha256>` holds the
/// content, `snapshots/<commit>/<file>` is a link to it or holds it itself, `refs/<revision>` names
/// a commit. Others may change it at any time: nothing in it is believed before it was hashed. Best
/// effort: a cache that cannot be written costs the next one a fetch. No state: thread-safe.

#include "node/weights/hub.hpp"

#include <map>
#include <optional>

namespace consort::node {

class hub_cache {
public:
  /// An empty folder is no cache: nothing is found and nothing kept.
  explicit hub_cache(std::string folder) : folder_(std::move(folder)) {}

  /// A file in a snapshot that a revision stands for, and its path; where no file is named, the
  /// only one that fits. Errors: `weights_missing`, `weights_ambiguous`.
  struct found_file {
    weight_source source; ///< Its revision is a commit, its file is named.
    std::string path;
  };
  [[nodiscard]] result<found_file> find(const weight_source& source) const;

  /// The folder of an adapter in such a snapshot: the one whose settings the source names, the one
  /// that it names itself, or the repository. Errors: adapter_files()'s, `weights_missing`.
  struct found_folder {
    weight_source source;                     ///< Its revision is a commit, its file the settings.
    std::map<std::string, std::string> files; ///< Paths, by name in the folder.
  };
  [[nodiscard]] result<found_folder> find_folder(const weight_source& source) const;

  /// Path of a blob of that content, else of the file of that name in the snapshot; what is in it
  /// was not looked at.
  [[nodiscard]] std::optional<std::string> blob(const weight_source& source,
                                                const digest& content) const;

  /// Takes in `path` as the file that `source` names, without a copy: only on the same file
  /// system. Returns: whether it is there now.
  bool keep(const weight_source& source, const digest& content, const std::string& path) const;
  /// Remembers which commit a branch or tag is now.
  void keep_revision(const weight_source& asked, const std::string& commit) const;

private:
  /// A commit and the folder of its snapshot; nothing when it is not there.
  struct snapshot {
    std::string commit, path;
  };
  [[nodiscard]] std::optional<snapshot> snapshot_of(const weight_source& source) const;
  [[nodiscard]] std::string repository(const weight_source& source) const;

  std::string folder_;
};

} // namespace consort::node
