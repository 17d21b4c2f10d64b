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

class weight_reader {
public:
  /// `memory_path` may be empty: nothing is remembered then.
  explicit weight_reader(hub_settings hub, std::string memory_path = {});

  /// What `source`, which is no path, is; the variant's own source is pinned to a commit and a file
  /// then. Errors: find_hub_file()'s and `weights_undigested` (an address without `#sha256=`),
  /// `bad_model`, `source_unsupported`.
  [[nodiscard]] result<model_variant> describe(const std::string& source, digest_cache& digests);
  /// The same of an adapter, whose weights say nothing that a scheduler could use: its source,
  /// pinned, its digest, and its rank where it is a folder. Errors: find_hub_adapter()'s in place
  /// of find_hub_file()'s.
  [[nodiscard]] result<model_adapter> describe_adapter(const std::string& source,
                                                       digest_cache& digests);
  void stop() { stopped_ = true; }

private:
  /// What a source is of: models and adapters of one name are remembered apart.
  enum class kind : std::uint8_t { model, adapter };
  struct known_weights {
    model_variant variant;  ///< Of an adapter its source and content alone.
    std::uint32_t rank = 0; ///< Of an adapter.
  };

  [[nodiscard]] result<known_weights> find(const std::string& source, digest_cache& digests,
                                           kind of);
  [[nodiscard]] result<known_weights> look(const weight_source& source, digest_cache& digests,
                                           kind of) const;
  [[nodiscard]] result<known_weights> look_at_hub(const weight_source& source,
                                                  digest_cache& digests, kind of) const;
  [[nodiscard]] result<known_weights> ask_hub(const weight_source& source, kind of) const;
  [[nodiscard]] result<known_weights> look_in_cache(const weight_source& source,
                                                    digest_cache& digests, kind of) const;
  [[nodiscard]] result<known_weights> cached_folder(const weight_source& source,
                                                    digest_cache& digests) const;
  [[nodiscard]] result<model_variant> read_head(const weight_source& source,
                                                const digest& content) const;
  [[nodiscard]] web_means means() const;
  void load();
  void remember(const std::string& name, const known_weights& found);
  [[nodiscard]] std::optional<known_weights> remembered(const std::string& name);

  const hub_settings hub_;
  const hub_cache cache_;
  const std::string memory_path_;
  std::atomic<bool> stopped_ = false;
  std::mutex guard_;
  std::map<std::string, known_weights> memory_; ///< By source; of adapters behind `adapter `.
};

} // namespace consort::node
