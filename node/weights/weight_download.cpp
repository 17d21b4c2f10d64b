// SPDX-License-Identifier: Apache-2.0
#include "node/weights/weight_download.hpp"

#include "node/byte_range.hpp"
#include "node/file_digest.hpp"
#include "node/runtimes/wait_times.hpp"
#include "node/weights/partial_file.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <thread>

namespace consort::node {

namespace {

namespace fs = std::filesystem;
using fetch_clock = std::chrono::steady_clock;

std::uint64_t number_of(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Worth another try at the same place.
bool passing(const error& why) {
  return why.code == "web_unreachable" || why.code == "web_broken" || why.code == "weights_busy";
}

/// One fetch. Runs on a thread of its own; everything but stop() is called there.
class weight_fetch {
public:
  weight_fetch(artifact_store& store, std::string partial_path, const hub_settings& hub,
               build_order order, std::function<void(std::uint32_t)> progress)
      : store_(store),
        partial_path_(std::move(partial_path)),
        hub_(hub),
        cache_(hub.cache),
        order_(std::move(order)),
        progress_(std::move(progress)) {}

  void stop() {
    const std::scoped_lock lock(guard_);
    stopped_ = true;
    ended_.notify_all();
  }

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
    if (auto cached = take_from_cache())
      return *std::move(cached);
    if (source_.what == weight_source::kind::hub && hub_.offline)
      return error{recovery::retry_elsewhere, "weights_offline",
                   source_.text() + ": HF_HUB_OFFLINE is set, and this host's cache lacks it"};
    auto stored = fetch();
    // Damaged on the way, or by what was left from another time: once more, from the beginning.
    if (!stored && stored.failure().code == "artifact_corrupt")
      stored = fetch();
    if (!stored && stored.failure().code == "artifact_corrupt")
      return error{recovery::retry_later, "weights_corrupt",
                   order_.source.source
                       + ": what came is not what was declared: " + stored.failure().message};
    if (stored && source_.what == weight_source::kind::hub)
      if (const auto held = store_.hold(stored->content))
        cache_.keep(source_, stored->content, held->path);
    return stored;
  }

private:
  using outcome = std::optional<error>;

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
    fs::create_hard_link(*blob, staging->output_path(), failed);
    if (failed) {
      failed.clear();
      fs::copy_file(*blob, staging->output_path(), failed);
    }
    auto stored
        = failed ? result<artifact_record>(error{}) : store_.put_copy(*std::move(staging), record_);
    if (!stored) {
      spdlog::warn("weights: {} of the hub's cache cannot be used: {}", *blob,
                   failed ? failed.message() : stored.failure().message);
      return std::nullopt;
    }
    return *std::move(stored);
  }

  result<artifact_record> fetch() {
    const auto began = fetch_clock::now();
    auto partial = partial_file::open(partial_path_ + "/" + record_.content.value);
    if (!partial)
      return partial.failure();
    file_ = &*partial;
    total_ = 0;
    if (auto problem = fetch_whole())
      return *problem;
    auto staging = store_.stage(0);
    if (!staging)
      return staging.failure();
    if (auto moved = partial->move_to(staging->output_path()); !moved)
      return moved.failure();
    record_.build_us
        = std::chrono::duration_cast<std::chrono::microseconds>(fetch_clock::now() - began).count();
    return store_.put_copy(*std::move(staging), record_);
  }

  /// Again after every cut, for as long as each try brings something.
  outcome fetch_whole() {
    std::size_t vain = 0;
    for (;;) {
      const auto had = file_->size();
      retry_after_us_ = 0;
      auto problem = fetch_rest();
      if (!problem && file_->size() == total_)
        return std::nullopt;
      if (!problem)
        problem = error{recovery::retry_later, "web_broken",
                        source_text() + ": came as " + std::to_string(file_->size()) + " bytes of "
                            + std::to_string(total_)};
      vain = file_->size() > had ? 0 : vain + 1;
      if (!passing(*problem) || vain >= hub_.limits.tries)
        return problem;
      const auto pause = std::max(hub_.limits.backoff << std::min<std::size_t>(vain, 8),
                                  std::min(retry_after_us_, limits::weights_retry_after_us_max));
      if (!pause_for(pause))
        return error{recovery::retry_later, "web_stopped", "reading was stopped"};
    }
  }

  outcome fetch_rest() {
    auto ask = request_for(source_, hub_);
    if (!ask)
      return ask.failure();
    ask->from = file_->size();
    if (ask->from > 0)
      ask->etag = etag_;
    bool begun = false;
    const auto answer
        = web_exchange(*ask, {hub_.authorities, hub_.limits, &stopped_},
                       [&](const web_head& head, std::string_view piece) -> outcome {
                         if (head.status >= 300)
                           return std::nullopt; // Judged below; what it says is of no use.
                         auto problem = begun ? outcome() : begin(head, piece);
                         begun = true;
                         return problem ? problem : take(piece);
                       });
    if (!answer)
      return answer.failure();
    if (answer->status == 416) // What is there is whole, or longer than what there is.
      return was_whole(answer->header("content-range")) ? outcome() : restart();
    if (answer->status == 200 || answer->status == 206)
      return std::nullopt;
    retry_after_us_ = parse_wait(answer->header("retry-after"), std::time(nullptr)).value_or(0);
    return judge_status(*answer, source_, hub_);
  }

  /// Another process may have been ended between the last byte and the store.
  bool was_whole(const std::string& said) {
    const auto size = "bytes */" + std::to_string(file_->size());
    total_ = said == size ? file_->size() : 0;
    return said == size;
  }

  outcome restart() {
    if (const auto cleared = file_->clear(); !cleared)
      return cleared.failure();
    return error{recovery::retry_later, "web_broken", source_text() + ": begun again"};
  }

  /// The first bytes of an answer: whether it goes on where we are, and whether it will fit.
  outcome begin(const web_head& head, std::string_view piece) {
    const auto part = parse_content_range(head.header("content-range"));
    if (head.status == 206 && (!part || part->range.begin != file_->size()))
      return restart();
    if (head.status == 200 && file_->size() > 0)
      if (const auto cleared = file_->clear(); !cleared)
        return cleared.failure();
    if (file_->size() == 0 && piece.starts_with('<'))
      return error{recovery::retry_later, "weights_refused",
                   head.url.authority() + " answered with a page, not with the file"};
    total_ = part ? part->size_bytes : number_of(head.header("content-length"));
    etag_ = head.header("etag").starts_with("W/") ? "" : head.header("etag");
    if (total_ == 0 || total_ > limits::weights_bytes_max)
      return error{recovery::refuse, "weights_refused",
                   source_text() + ": of no known length, or too long"};
    // A folder is made and gone again: only whether there is room is of interest.
    if (const auto room = store_.stage(total_ - std::min(total_, file_->size())); !room)
      return error{recovery::retry_elsewhere, room.failure().code, room.failure().message};
    return std::nullopt;
  }

  outcome take(std::string_view piece) {
    if (piece.size() > total_ - std::min(total_, file_->size()))
      return restart();
    if (const auto written = file_->append(piece); !written)
      return written.failure();
    const auto done_pm = static_cast<std::uint32_t>(file_->size() * 1000 / total_);
    if (progress_ && done_pm != told_pm_)
      progress_(told_pm_ = done_pm);
    return std::nullopt;
  }

  bool pause_for(duration_us span) {
    std::unique_lock lock(guard_);
    return !ended_.wait_for(lock, std::chrono::microseconds(span),
                            [this] { return bool(stopped_); });
  }

  [[nodiscard]] std::string source_text() const { return order_.source.source; }

  artifact_store& store_;
  const std::string partial_path_;
  const hub_settings& hub_;
  const hub_cache cache_;
  const build_order order_;
  std::function<void(std::uint32_t)> progress_;
  weight_source source_;
  artifact_record record_; ///< As it will be stored.
  partial_file* file_ = nullptr;
  std::string etag_;
  std::uint64_t total_ = 0; ///< Bytes; 0 until it is known.
  std::uint32_t told_pm_ = 0;
  duration_us retry_after_us_ = 0; ///< As the last answer asked for.
  std::mutex guard_;
  std::condition_variable ended_;
  std::atomic<bool> stopped_ = false;
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

private:
  const std::shared_ptr<weight_fetch> fetch_;
  const std::shared_ptr<fetch_ending> end_;
};

} // namespace

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
  auto fetch
      = std::make_shared<weight_fetch>(store_, partial_path_, hub_, order, std::move(progress));
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
