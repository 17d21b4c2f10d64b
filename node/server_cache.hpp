// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What one server compiles at its own start: a folder of its own, filled with what an earlier
/// start made, here or on another node, and put into the store as an artifact of kind `cache` once
/// the server is ready. A cache is help and no more: one that is too large, or that changes while
/// it is read, is not kept, and an artifact that was replaced by a newer one of its key is removed.
/// Owned by whoever runs the server; destroying it removes the folder. Calls block on the disk;
/// make() and keep() are each called once, by any thread.

#include "node/artifact_store.hpp"

#include <string>

namespace consort::node {

/// What a cache is, and how much of it is kept.
struct cache_order {
  std::optional<artifact_key> key; ///< Nothing: the server has a folder, and it is not kept.
  std::uint64_t bytes_max = 0;
  std::optional<artifact_record> stored; ///< To begin with; a damaged one is left out.
};

class server_cache {
public:
  /// Errors: artifact_store::stage()'s.
  [[nodiscard]] static result<std::shared_ptr<server_cache>> make(artifact_store& store,
                                                                  cache_order order);
  server_cache(artifact_store& store, cache_order order, staging_folder folder);

  [[nodiscard]] std::string path() const { return folder_.work_path(); }
  /// Returns: what was stored; nothing when there is nothing new in it. Errors: `cache_too_large`,
  /// `cache_unreadable`, artifact_store::put()'s.
  [[nodiscard]] result<std::optional<artifact_record>> keep();

private:
  void fill();
  void forget_older(const digest& kept);

  artifact_store& store_;
  const cache_order order_;
  const staging_folder folder_;
  std::string began_as_; ///< Names and sizes of its files when it was made.
};

} // namespace consort::node
