// SPDX-License-Identifier: Apache-2.0
#include "node/compiler.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

namespace consort::node {

namespace {

/// Until a plugin says how large its outputs get: about the weights again.
std::uint64_t space_wanted(const model_variant& source) {
  return source.weight_bytes;
}

/// The tool's own failure, unless the disk it filled explains it better.
error judge(error failure, const artifact_store& store) {
  if (store.free_bytes() > 0)
    return failure;
  return {recovery::retry_later, "disk_full", "the disk is full: " + failure.message};
}

} // namespace

/// Lives as long as the caller keeps it; the plugin's compile is destroyed first, so no callback
/// finds it gone.
struct compiler::build_state : running_compile {
  build_state(artifact_store& shared_store, staging_folder folder, build_order wanted,
              finished_handler handler)
      : store(shared_store),
        staging(std::move(folder)),
        order(std::move(wanted)),
        finished(std::move(handler)) {}

  ~build_state() override {
    stopping = true;
    tool.reset(); // From here on nothing starts the keeper.
    if (!keeper.joinable())
      return;
    if (keeper.get_id() == std::this_thread::get_id())
      keeper.detach(); // The handler destroys the build that told it.
    else
      keeper.join();
  }

  void tool_ended(result<compile_outcome> ended) {
    if (ended) { // Hashing and syncing gigabytes is no work for the tools' io thread.
      keeper = std::thread([this, outcome = std::move(*ended)]() mutable { keep(outcome); });
      return;
    }
    // A local copy: the handler may destroy this object.
    const auto handler = std::exchange(finished, nullptr);
    if (handler)
      handler(judge(ended.failure(), store));
  }

  void keep(compile_outcome& built) {
    const auto handler = std::exchange(finished, nullptr);
    auto record = store.put(std::move(staging), order.key, std::move(built.quality), built.took_us,
                            &stopping);
    if (!handler || stopping)
      return;
    if (record)
      return handler(std::move(record));
    const auto& why = record.failure();
    const bool lied = why.code == "artifact_missing" || why.code == "artifact_empty";
    handler(lied ? error{recovery::refuse, "compiler_bad_output",
                         order.key.profile.compiler + " reported success but wrote no output"}
                 : why);
  }

  artifact_store& store;
  staging_folder staging;
  build_order order;
  finished_handler finished;
  std::atomic<bool> stopping = false;
  std::unique_ptr<running_compile> tool;
  std::thread keeper;
};

compiler::compiler(inventory& plugins, artifact_store& store, digest_cache& digests,
                   source_resolver resolve)
    : plugins_(plugins), store_(store), digests_(digests), resolve_(std::move(resolve)) {}

result<std::string> compiler::checked_model(const build_order& order) {
  const auto path = resolve_(order.source);
  if (path.empty())
    return error{recovery::retry_elsewhere, "model_missing",
                 "the weights of " + order.model.value + " (" + order.source.source
                     + ") are not on this node"};
  const auto content = digests_.digest_of(path);
  if (!content)
    return error{recovery::retry_elsewhere, "model_missing", content.failure().message};
  if (!order.source.content.empty() && *content != order.source.content)
    return error{recovery::retry_elsewhere, "model_changed",
                 path + ": its digest is not the one that was ordered"};
  if (order.source.format == "gguf")
    if (const auto info = inspect_gguf_file(path); !info)
      return info.failure();
  return path;
}

std::unique_ptr<running_compile>
compiler::build(const build_order& order, progress_handler progress, finished_handler finished) {
  const auto model = checked_model(order);
  auto staging
      = model ? store_.stage(space_wanted(order.source)) : result<staging_folder>(model.failure());
  if (!staging) {
    finished(staging.failure());
    return std::make_unique<running_compile>();
  }
  auto state
      = std::make_unique<build_state>(store_, *std::move(staging), order, std::move(finished));
  const compile_request wanted{order.id,
                               order.key,
                               *model,
                               state->staging.output_path(),
                               state->staging.work_path(),
                               order.source.format};
  state->tool = plugins_.compile(
      wanted, std::move(progress),
      [held = state.get()](result<compile_outcome> ended) { held->tool_ended(std::move(ended)); });
  return state;
}

} // namespace consort::node
