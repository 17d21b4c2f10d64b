// SPDX-License-Identifier: Apache-2.0
#include "node/compiler.hpp"

#include "node/model_files.hpp"
#include "node/model_folder.hpp"
#include "node/placeholders.hpp"
#include "node/small_file.hpp"
#include "scheduler/artifact_model.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <unistd.h>

namespace consort::node {

namespace {

/// Until a plugin says how large its outputs get: about the weights again.
std::uint64_t space_wanted(const model_variant& source) {
  return source.weight_bytes;
}

/// The tool's own failure, unless the disk it filled explains it better.
error judge(error failure, std::uint64_t free_bytes) {
  if (free_bytes > 0 || failure.code == "disk_full")
    return failure;
  return {recovery::retry_later, "disk_full", "the disk is full: " + failure.message};
}

} // namespace

/// What becomes of one build once its tool has ended. Shared by the build and by the thread that
/// puts its output away; the handler is called under the lock, which is recursive because it may
/// destroy the build.
class compiler::ending : public std::enable_shared_from_this<compiler::ending> {
public:
  ending(artifact_store& store, boost::asio::thread_pool& disk, staging_folder folder,
         build_order order, free_space free_bytes, finished_handler handler)
      : store_(store),
        disk_(disk),
        staging_(std::move(folder)),
        order_(std::move(order)),
        free_bytes_(std::move(free_bytes)),
        finished_(std::move(handler)) {}

  [[nodiscard]] const staging_folder& staging() const { return staging_; }

  void tool_ended(result<compile_outcome> ended) {
    const auto self = shared_from_this();
    if (!ended) {
      auto failure = judge(ended.failure(), free_bytes_());
      if (const auto log = read_log(); !log.empty())
        if (const auto kept = store_.keep_failed_log(log_name(), log); !kept.empty())
          failure.message += " (log: " + kept + ")";
      return tell(std::move(failure));
    }
    // Hashing and syncing gigabytes is no work for the tools' io thread.
    boost::asio::post(disk_, [self, built = std::move(*ended)]() mutable { self->keep(built); });
  }

  /// The build is wanted no more: a hash under way ends soon, and nobody is told.
  void abandon() {
    stopping_ = true;
    const std::scoped_lock lock(mutex_);
    finished_ = nullptr;
  }

private:
  [[nodiscard]] std::string read_log() const {
    return read_whole_file(staging_.log_path()).value_or("");
  }
  /// Nothing of it came from the network but the number.
  [[nodiscard]] std::string log_name() const {
    return "build-" + std::to_string(order_.id.value) + "-" + std::to_string(::getpid());
  }

  void keep(compile_outcome& built) {
    const auto log = read_log();
    // Looked at while the output is there. What a tool wrote to a disk without room may be
    // cut, whatever it says: not every tool looks at what its writes return.
    if (free_bytes_() == 0)
      return tell(no_room());
    if (built.quality.size() < limits::quality_entries_max)
      built.quality[artifact_model] = order_.model.value;
    auto record = store_.put(std::move(staging_), order_.key, std::move(built.quality),
                             built.took_us, &stopping_);
    if (record) {
      const auto content = record->content;
      record = yield_to_import(*std::move(record));
      if (record->content == content) // The log of what is gone is not the import's.
        store_.keep_log(content, log);
      return tell(std::move(record));
    }
    const auto& why = record.failure();
    const bool lied = why.code == "artifact_missing" || why.code == "artifact_empty"
                      || why.code == "bundle_empty";
    tell(lied ? no_output() : why);
  }

  /// A vendor's own engine that somebody brought meanwhile is not replaced by what was begun
  /// before.
  artifact_record yield_to_import(artifact_record built) {
    store_.rescan(); // By another process, mostly.
    if (!is_ours_to_remove(built))
      return built;
    for (auto& one : store_.list())
      if (one.content != built.content && is_import(one)
          && std::find(before_.begin(), before_.end(), one) == before_.end()
          && store_.forget(built.content, built.key)) // Else somebody loads it already.
        return std::move(one);
    return built;
  }
  /// What vendors built under the key, by `artifacts import`.
  [[nodiscard]] bool is_import(const artifact_record& one) const {
    const auto origin = one.quality.find("origin");
    return one.key == order_.key && origin != one.quality.end() && origin->second == "prebuilt";
  }
  /// A compiler may make again, byte for byte, what the store had and somebody marked.
  [[nodiscard]] bool is_ours_to_remove(const artifact_record& built) const {
    const bool is_new = std::none_of(before_.begin(), before_.end(), [&](const auto& one) {
      return one.content == built.content && one.key == built.key;
    });
    return is_new && !store_.kept(built.content) && !store_.preferred(built.content);
  }

  [[nodiscard]] error no_room() const {
    return {
        recovery::retry_later, "disk_full",
        "the disk is full: " + order_.key.profile.compiler
            + " reported success, and what it wrote may be cut, since less than the headroom of "
            + std::to_string(limits::disk_headroom_bytes >> 20U) + " MiB was free at its end"};
  }
  [[nodiscard]] error no_output() const {
    return {recovery::refuse, "compiler_bad_output",
            order_.key.profile.compiler + " reported success but wrote no output"};
  }

  void tell(result<artifact_record> outcome) {
    const std::scoped_lock lock(mutex_);
    if (const auto handler = std::exchange(finished_, nullptr))
      handler(std::move(outcome));
  }

  artifact_store& store_;
  boost::asio::thread_pool& disk_;
  staging_folder staging_;
  const build_order order_;
  const free_space free_bytes_;
  const std::vector<artifact_record> before_ = store_.list();
  std::atomic<bool> stopping_ = false;
  std::recursive_mutex mutex_;
  finished_handler finished_;
};

/// Lives as long as the caller keeps it.
struct compiler::build_state : running_compile {
  explicit build_state(std::shared_ptr<ending> shared) : end(std::move(shared)) {}
  ~build_state() override {
    end->abandon();
    tool.reset();
  }

  std::shared_ptr<ending> end;
  std::unique_ptr<running_compile> tool;
};

compiler::compiler(inventory& plugins, artifact_store& store, digest_cache& digests,
                   source_resolver resolve, free_space free_bytes)
    : plugins_(plugins),
      store_(store),
      digests_(digests),
      resolve_(std::move(resolve)),
      free_bytes_(free_bytes ? std::move(free_bytes) : [&store] { return store.free_bytes(); }) {}

result<std::string> compiler::checked_model(const build_order& order) {
  // Its compiler finds what the vendor's tools know under that name, a folder or a hub's.
  if (auto name = name_at_server(order.source.source)) {
    if (name->starts_with('/') || is_plain_word(*name))
      return *std::move(name);
    return error{recovery::refuse, "bad_name",
                 "no compiler is started with the name of " + order.model.value
                     + ": only letters, digits and ._:/@+- are, and no - in front"};
  }
  const auto path = resolve_(order.source);
  if (path.empty())
    return error{recovery::retry_elsewhere, "model_missing",
                 "the weights of " + order.model.value + " (" + order.source.source
                     + ") are not on this node"};
  const auto content
      = is_model_folder(path) ? digest_of_folder(path, digests_) : digests_.digest_of(path);
  if (!content)
    return error{recovery::retry_elsewhere, "model_missing", content.failure().message};
  if (!order.source.content.empty() && *content != order.source.content)
    return error{recovery::retry_elsewhere, "model_changed",
                 path + ": its digest is not the one that was ordered"};
  if (order.source.format == "gguf")
    if (const auto info = inspect_gguf_file(path); !info)
      return info.failure();
  if (const auto whole = check_model_files(path, order.source.format); !whole)
    return whole.failure();
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
  const auto end = std::make_shared<ending>(store_, disk_, *std::move(staging), order, free_bytes_,
                                            std::move(finished));
  auto state = std::make_unique<build_state>(end);
  const compile_request wanted{order.id,
                               order.key,
                               *model,
                               end->staging().output_path(),
                               end->staging().work_path(),
                               order.source.format,
                               end->staging().log_path(),
                               order.devices};
  state->tool = plugins_.compile(wanted, std::move(progress), [end](result<compile_outcome> ended) {
    end->tool_ended(std::move(ended));
  });
  return state;
}

} // namespace consort::node
