// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Builds one artifact: resolves and checks the model, sees to disk space, runs the plugin's
/// compiler in a staging folder, checks what it wrote, and puts it into the store. Every way to
/// fail ends in one error with the recovery class that the scheduler acts on: `refuse` when the
/// same input would fail again (cached), `retry_later` when only time, memory or disk was missing.
/// Used by the compile actor. Thread-safe; callbacks run on the plugins' io_context, on a
/// thread that puts the output into the store, or, for failures before the tool starts, inside
/// `build`.

#include "node/artifact_store.hpp"
#include "node/gguf.hpp"
#include "node/inventory.hpp"

#include <boost/asio/thread_pool.hpp>

#include <functional>

namespace consort::node {

/// What to build. `source.source` is a local path or a name that `resolve` of the compiler knows.
struct build_order {
  compile_id id;
  artifact_key key;
  model_name model;
  model_variant source;
  std::vector<device_spec> devices = {}; ///< Granted to the tool while it runs.
};

class compiler {
public:
  /// Turns a variant's source into a local path; empty = not here.
  using source_resolver = std::function<std::string(const model_variant&)>;
  using progress_handler = std::function<void(std::uint32_t done_pm)>;
  using finished_handler = std::function<void(result<artifact_record>)>;

  using free_space = std::function<std::uint64_t()>;

  /// All three outlive the compiler and its builds. `free_bytes` says what the disk has beyond the
  /// headroom; nothing = the store does.
  compiler(inventory& plugins, artifact_store& store, digest_cache& digests,
           source_resolver resolve, free_space free_bytes = {});

  /// Starts; `finished` is called once unless the returned build is destroyed first, which kills
  /// the tool and removes its files. Never null.
  [[nodiscard]] std::unique_ptr<running_compile>
  build(const build_order& order, progress_handler progress, finished_handler finished);

private:
  struct build_state;
  class ending;
  [[nodiscard]] result<std::string> checked_model(const build_order& order);

  inventory& plugins_;
  artifact_store& store_;
  digest_cache& digests_;
  source_resolver resolve_;
  free_space free_bytes_;
  boost::asio::thread_pool disk_{1}; ///< Puts outputs into the store.
};

} // namespace consort::node
