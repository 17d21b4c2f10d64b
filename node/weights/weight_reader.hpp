// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Says what weights elsewhere are without fetching them: the SHA-256 that the hub or the operator
/// gives, and what the head of the file says, read by ranges. What was found is remembered in a
/// file, so that a server starts while the hub is away. Blocks while it reads; stop() ends that.
/// Thread-safe.

#include "node/file_digest.hpp"
#include "node/weights/hub_cache.hpp"

#include <atomic>
#include <map>
#include <mutex>

namespace consort::node {

/// What the source is of: of an adapter nothing is known but its digest, for its head says nothing
/// that a scheduler could use.
enum class weight_kind : std::uint8_t { model, adapter };

class weight_reader {
public:
  /// `memory_path` may be empty: nothing is remembered then.
  explicit weight_reader(hub_settings hub, std::string memory_path = {});

  /// What `source`, which is no path, is; the variant's own source is pinned to a commit and a file
  /// then. Errors: find_hub_file()'s and `weights_undigested` (an address without `#sha256=`),
  /// `bad_model`, `source_unsupported`.
  [[nodiscard]] result<model_variant> describe(const std::string& source, digest_cache& digests,
                                               weight_kind kind = weight_kind::model);
  void stop() { stopped_ = true; }

private:
  [[nodiscard]] result<model_variant> look(const weight_source& source, digest_cache& digests,
                                           weight_kind kind);
  [[nodiscard]] result<model_variant> look_at_hub(const weight_source& source,
                                                  digest_cache& digests, weight_kind kind);
  [[nodiscard]] result<model_variant> look_in_cache(const weight_source& source,
                                                    digest_cache& digests, weight_kind kind) const;
  [[nodiscard]] result<model_variant> read_head(const weight_source& source, const digest& content,
                                                weight_kind kind) const;
  [[nodiscard]] web_means means() const;
  void load();
  void remember(const std::string& source, const model_variant& found);
  [[nodiscard]] std::optional<model_variant> remembered(const std::string& source);

  const hub_settings hub_;
  const hub_cache cache_;
  const std::string memory_path_;
  std::atomic<bool> stopped_ = false;
  std::mutex guard_;
  std::map<std::string, model_variant> memory_; ///< By memory_name().
};

} // namespace consort::node
