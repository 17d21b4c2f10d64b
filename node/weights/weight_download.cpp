// SPDX-License-Identifier: Apache-2.0
#include "node/weights/weight_download.hpp"

#include "node/file_digest.hpp"
#include "node/weights/adapter_folder.hpp"
#include "node/weights/web_file.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

namespace consort::node {

namespace {

namespace fs = std::filesystem;
using fetch_clock = std::chrono::steady_clock;

/// One fetch. Runs on a thread of its own; everything but stop() is called there.
class weight_fetch {
public:
  weight_fetch(artifact_store& store, std::string partial_path, const hub_settings& hub,
               sources_left_alone& left_alone, build_order order,
               std::function<void(std::uint32_t)> progress)
      : store_(store),
        partial_path_(std::move(partial_path)),
        hub_(hub),
        cache_(hub.cache),
        left_alone_(left_alone),
        order_(std::move(order)),
        progress_(std::move(progress)) {
    watch_.room = [this](std::uint64_t bytes) { return room_for(bytes); };
    watch_.progress = [this](std::uint64_t have, std::uint64_t total) { came(have, total); };
    watch_.left_alone = [this](duration_us span) { asked_us_ = span; };
  }

  void stop() { stop_.stop(); }
  /// Its server's word, once run() has returned; 0 = none.
  [[nodiscard]] duration_us asked_us() const { return asked_us_; }

  result<artifact_record> run() {
    const auto source = parse_source(order_.source.source);
    if (!source)
      return source.failure();
    // It becomes a file's name, and came over a link.
    if (!is_digest(order_.source.content.value))
      return error{recovery::refuse, "weights_undigested",
                   order_.source.source + ": ordered without its SHA-256"};
    source_ = *source;
    record_.key = order_.key;
    record_.content = order_.source.content;
    began_ = fetch_clock::now();
    const bool of_hub = source_.what == weight_source::kind::hub;
    const bool folder = of_hub && names_adapter_folder(source_.file);
    if (auto cached = folder ? take_folder_from_cache() : take_from_cache())
      return *std::move(cached);
    if (of_hub && hub_.offline)
      return error{recovery::retry_elsewhere, "weights_offline",
                   source_.text() + ": HF_HUB_OFFLINE is set, and this host's cache lacks it"};
    if (auto rest = left_alone_.find(order_.source.source)) {
      asked_us_ = rest->left_us;
      return std::move(rest->why);
    }
    auto stored = folder ? fetch_folder() : fetch_file();
    if (!stored && asked_us_ > 0)
      left_alone_.note(order_.source.source, asked_us_, stored.failure());
    return stored;
  }

private:
  using outcome = std::optional<error>;

  result<done> room_for(std::uint64_t bytes) {
    // A folder is made and gone again: only whether there is room is of interest.
    const auto room = store_.stage(bytes);
    return room ? result<done>(done{})
                : error{recovery::retry_elsewhere, room.failure().code, room.failure().message};
  }

  /// Of a folder the files that are here already count.
  void came(std::uint64_t have, std::uint64_t total) {
    const auto done_pm = static_cast<std::uint32_t>(
        (before_ + have) * 1000 / std::max<std::uint64_t>({folder_bytes_, total, 1}));
    if (progress_ && done_pm != told_pm_)
      progress_(told_pm_ = std::min<std::uint32_t>(done_pm, 1000));
  }

  [[nodiscard]] duration_us spent_us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(fetch_clock::now() - began_)
        .count();
  }

  // --- one file ---

  /// What the hub's own tools have fetched; without a copy where the disk is the same.
  std::optional<artifact_record> take_from_cache() {
    if (source_.what != weight_source::kind::hub)
      return std::nullopt;
    const auto blob = cache_.blob(source_, record_.content);
    std::error_code failed;
    const auto size = blob ? fs::file_size(*blob, failed) : 0;
    auto staging = blob && !failed ? store_.stage(size)
                                   : result<staging_folder>(error{recovery::retry_later, "", ""});
    if (!staging)
      return std::nullopt;
    const auto copied = link_or_copy(*blob, staging->output_path());
    auto stored
        = copied ? result<artifact_record>(error{}) : store_.put_copy(*std::move(staging), record_);
    if (!stored) {
      spdlog::warn("weights: {} of the hub's cache cannot be used: {}", *blob,
                   copied ? copied.message() : stored.failure().message);
      return std::nullopt;
    }
    return *std::move(stored);
  }

  result<artifact_record> fetch_file() {
    auto stored = fetch_once();
    // Damaged on the way, or by what was left from another time: once more, from the beginning.
    if (!stored && stored.failure().code == "artifact_corrupt")
      stored = fetch_once();
    if (!stored && stored.failure().code == "artifact_corrupt")
      return corrupt(order_.source.source, stored.failure().message);
    if (stored && source_.what == weight_source::kind::hub)
      if (const auto held = store_.hold(stored->content))
        cache_.keep(source_, stored->content, held->path);
    return stored;
  }

  result<artifact_record> fetch_once() {
    auto partial = partial_file::open(partial_path_ + "/" + record_.content.value);
    if (!partial)
      return partial.failure();
    if (auto problem = web_file(source_, hub_, stop_, watch_).fetch(*partial))
      return *problem;
    auto staging = store_.stage(0);
    if (!staging)
      return staging.failure();
    if (auto moved = partial->move_to(staging->output_path()); !moved)
      return moved.failure();
    record_.build_us = spent_us();
    return store_.put_copy(*std::move(staging), record_);
  }

  static error corrupt(const std::string& what, const std::string& why) {
    return {recovery::retry_later, "weights_corrupt",
            what + ": what came is not what was declared: " + why};
  }

  /// A link of the hub's cache is no file of its own. Returns: what went wrong.
  static std::error_code link_or_copy(const fs::path& from, const fs::path& to) {
    std::error_code failed;
    const auto file = fs::canonical(from, failed);
    if (failed)
      return failed;
    fs::create_hard_link(file, to, failed);
    if (failed) {
      failed.clear();
      fs::copy_file(file, to, failed);
    }
    return failed;
  }

  // --- a folder: each file by itself, stored as one ---

  /// Which files it has, and what they are, is asked again: an order names the whole alone. It is
  /// the one that was ordered, or it is not let in.
  result<artifact_record> fetch_folder() {
    duration_us asked_us = 0;
    const auto found = find_hub_adapter(source_, hub_,
                                        {hub_.authorities, hub_.limits, &stop_.flag()}, &asked_us);
    asked_us_ = asked_us;
    if (!found)
      return found.failure();
    if (found->content != record_.content)
      return corrupt(source_.text(), "the hub has a folder of digest " + found->content.value);
    for (const auto& part : found->parts)
      folder_bytes_ += part.size_bytes;
    auto staging = store_.stage(folder_bytes_);
    if (!staging)
      return error{recovery::retry_elsewhere, staging.failure().code, staging.failure().message};
    const fs::path folder = staging->output_path();
    std::error_code failed;
    fs::create_directory(folder, failed);
    for (const auto& part : found->parts) {
      const bool known = part.name.ends_with(".json");
      if (auto problem
          = known ? write_part(part, folder / part.name) : fetch_part(part, folder / part.name))
        return *problem;
      before_ += part.size_bytes;
    }
    for (const auto& part : found->parts)
      cache_.keep(source_of(part.name), part.content, (folder / part.name).string());
    return store_.put(*std::move(staging), record_.key, {}, spent_us(), &stop_.flag());
  }

  [[nodiscard]] weight_source source_of(const std::string& name) const {
    auto source = source_;
    source.file = adapter_folder_of(source_.file) + name;
    return source;
  }

  /// By ranges into a file named by its digest, as weights are: another fetch goes on with it.
  outcome fetch_part(const hub_adapter::part& part, const fs::path& into) {
    for (int again = 0;; ++again) {
      auto partial = partial_file::open(partial_path_ + "/" + part.content.value);
      if (!partial)
        return partial.failure();
      const auto source = source_of(part.name);
      if (auto problem = web_file(source, hub_, stop_, watch_).fetch(*partial))
        return problem;
      if (auto moved = partial->move_to(into.string()); !moved)
        return moved.failure();
      const auto content = hash_file(into.string(), &stop_.flag());
      if (!content)
        return content.failure();
      if (*content == part.content)
        return std::nullopt;
      std::error_code failed;
      fs::remove(into, failed);
      if (again > 0)
        return corrupt(source.text(), "its digest is " + content->value);
    }
  }

  static outcome write_part(const hub_adapter::part& part, const fs::path& into) {
    std::ofstream file(into, std::ios::binary);
    file << part.text;
    file.close();
    return file ? outcome()
                : error{recovery::retry_elsewhere, "disk_error", into.string() + ": not written"};
  }

  /// Only all of it, and what was ordered.
  std::optional<artifact_record> take_folder_from_cache() {
    const auto cached = cache_.find_folder(source_);
    auto staging
        = cached ? store_.stage(0) : result<staging_folder>(error{recovery::retry_later, "", ""});
    if (!staging)
      return std::nullopt;
    const fs::path folder = staging->output_path();
    std::error_code failed;
    fs::create_directory(folder, failed);
    std::map<std::string, digest> contents;
    for (const auto& [name, path] : cached->files) {
      failed = link_or_copy(path, folder / name);
      const auto content
          = failed ? result<digest>(error{}) : hash_file((folder / name).string(), &stop_.flag());
      if (!content)
        return std::nullopt;
      contents.emplace(name, *content);
    }
    if (folder_digest(contents) != record_.content)
      return std::nullopt;
    auto stored = store_.put(*std::move(staging), record_.key, {}, spent_us(), &stop_.flag());
    return stored ? std::optional(*std::move(stored)) : std::nullopt;
  }

  artifact_store& store_;
  const std::string partial_path_;
  const hub_settings& hub_;
  const hub_cache cache_;
  sources_left_alone& left_alone_;
  const build_order order_;
  std::function<void(std::uint32_t)> progress_;
  weight_source source_;
  artifact_record record_; ///< As it will be stored.
  fetch_clock::time_point began_;
  std::uint64_t folder_bytes_ = 0; ///< Of all its files.
  std::uint64_t before_ = 0;       ///< Of those that are here.
  std::uint32_t told_pm_ = 0;
  std::atomic<duration_us> asked_us_ = 0; ///< Not to be asked for so long; see asked_us().
  fetch_stop stop_;
  web_file::watching watch_;
};

/// What the fetch's thread and whoever wants it share. The handler is called under the lock, which
/// is recursive because it may destroy the build.
struct fetch_ending {
  std::recursive_mutex mutex;
  std::function<void(result<artifact_record>)> finished;

  void tell(result<artifact_record> stored) {
    const std::scoped_lock lock(mutex);
    if (const auto handler = std::exchange(finished, nullptr))
      handler(std::move(stored));
  }
};

/// Lives as long as the caller keeps it.
class wanted_fetch final : public running_compile {
public:
  wanted_fetch(std::shared_ptr<weight_fetch> fetch, std::shared_ptr<fetch_ending> end)
      : fetch_(std::move(fetch)), end_(std::move(end)) {}
  ~wanted_fetch() override {
    fetch_->stop();
    const std::scoped_lock lock(end_->mutex);
    end_->finished = nullptr;
  }
  [[nodiscard]] duration_us left_alone_us() const override { return fetch_->asked_us(); }

private:
  const std::shared_ptr<weight_fetch> fetch_;
  const std::shared_ptr<fetch_ending> end_;
};

} // namespace

void sources_left_alone::note(const std::string& source, duration_us span, error why) {
  const auto now = clock::now();
  const std::scoped_lock lock(mutex_);
  std::erase_if(resting_, [now](const auto& one) { return one.second.until <= now; });
  resting_.insert_or_assign(source, rest{now + std::chrono::microseconds(span), std::move(why)});
}

std::optional<sources_left_alone::found> sources_left_alone::find(const std::string& source) {
  const auto now = clock::now();
  const std::scoped_lock lock(mutex_);
  const auto known = resting_.find(source);
  if (known == resting_.end() || known->second.until <= now)
    return std::nullopt;
  const auto left
      = std::chrono::duration_cast<std::chrono::microseconds>(known->second.until - now);
  return found{known->second.why, left.count()};
}

weight_downloads::weight_downloads(artifact_store& store, const std::string& data_path,
                                   hub_settings hub)
    : store_(store), partial_path_(data_path + "/partial"), hub_(std::move(hub)) {
  std::error_code failed;
  fs::create_directories(partial_path_, failed);
  const auto oldest
      = fs::file_time_type::clock::now() - std::chrono::microseconds(limits::partial_age_us_max);
  for (const auto& one : fs::directory_iterator(partial_path_, failed))
    if (std::error_code ignored; one.last_write_time(ignored) < oldest)
      fs::remove(one.path(), ignored);
}

weight_downloads::~weight_downloads() {
  for (auto& [over, thread] : threads_)
    thread.join();
}

std::unique_ptr<running_compile>
weight_downloads::start(const build_order& order, std::function<void(std::uint32_t)> progress,
                        std::function<void(result<artifact_record>)> finished) {
  auto fetch = std::make_shared<weight_fetch>(store_, partial_path_, hub_, left_alone_, order,
                                              std::move(progress));
  auto end = std::make_shared<fetch_ending>();
  end->finished = std::move(finished);
  auto over = std::make_shared<std::atomic<bool>>(false);
  const std::scoped_lock lock(threads_mutex_);
  for (auto& [ended, thread] : threads_)
    if (*ended)
      thread.join();
  // Those that were joined: another may have ended since.
  std::erase_if(threads_, [](const auto& one) { return !one.second.joinable(); });
  threads_.emplace_back(over, std::thread([fetch, end, over] {
                          end->tell(fetch->run());
                          *over = true;
                        }));
  return std::make_unique<wanted_fetch>(std::move(fetch), std::move(end));
}

} // namespace consort::node
