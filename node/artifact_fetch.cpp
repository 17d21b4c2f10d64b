// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_fetch.hpp"

#include "node/artifact_pull.hpp"
#include "node/file_digest.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <deque>
#include <map>

namespace consort::node {

struct artifact_fetcher::shared : std::enable_shared_from_this<artifact_fetcher::shared> {
  struct job {
    std::vector<callback> ended;
    std::shared_ptr<artifact_pull> pull; ///< Null while it waits.
    fetch_request wanted;
  };

  explicit shared(std::shared_ptr<pull_means> with) : means(std::move(with)) {}

  [[nodiscard]] std::optional<error> add(fetch_request wanted, callback& ended);
  void begin_next();
  void finished(const digest& content, const result<artifact_record>& outcome);

  const std::shared_ptr<pull_means> means;
  mutable std::mutex mutex;
  std::map<digest, job> jobs;
  std::deque<digest> waiting;
  std::size_t running = 0;
  bool stopped = false;
};

/// Returns: why it cannot be taken; then `ended` was not taken either.
std::optional<error> artifact_fetcher::shared::add(fetch_request wanted, callback& ended) {
  if (!is_digest(wanted.content.value))
    return error{recovery::refuse, "bad_digest", "an artifact is named by its SHA-256"};
  const std::lock_guard lock(mutex);
  if (stopped)
    return error{recovery::retry_later, "fetch_stopped", "this node is stopping"};
  if (const auto found = jobs.find(wanted.content); found != jobs.end()) {
    found->second.ended.push_back(std::move(ended));
    return std::nullopt;
  }
  if (waiting.size() >= means->limits.waiting)
    return error{recovery::retry_later, "fetch_queue_full",
                 "as many artifacts as may be wait to be fetched"};
  waiting.push_back(wanted.content);
  auto& added = jobs[wanted.content];
  added.ended.push_back(std::move(ended));
  added.wanted = std::move(wanted);
  begin_next();
  return std::nullopt;
}

/// Requires: the lock.
void artifact_fetcher::shared::begin_next() {
  while (running < means->limits.running && !waiting.empty() && !stopped) {
    const auto content = waiting.front();
    waiting.pop_front();
    auto& next = jobs.at(content);
    next.pull = std::make_shared<artifact_pull>(means, next.wanted);
    ++running;
    const callback done
        = [self = shared_from_this(), content](const result<artifact_record>& outcome) {
            self->finished(content, outcome);
          };
    // Posted, since co_spawn may begin at once and the lock is held.
    boost::asio::post(next.pull->executor(), [pull = next.pull, done] {
      boost::asio::co_spawn(
          pull->executor(), [pull, done] { return pull->run(done); },
          [done](const std::exception_ptr& thrown) {
            if (thrown) // Its place among those that run would be lost for good.
              done(error{recovery::bug, "internal", "a fetch ended by an exception"});
          });
    });
  }
}

void artifact_fetcher::shared::finished(const digest& content,
                                        const result<artifact_record>& outcome) {
  std::vector<callback> calls;
  {
    const std::lock_guard lock(mutex);
    --running;
    if (const auto found = jobs.find(content); found != jobs.end()) {
      calls = std::move(found->second.ended);
      jobs.erase(found);
    }
    begin_next();
  }
  for (const auto& call : calls)
    call(outcome);
}

artifact_fetcher::artifact_fetcher(boost::asio::io_context& io, artifact_store& store,
                                   std::shared_ptr<const links::credentials> credentials,
                                   limits::fetch_set limits)
    : shared_(std::make_shared<shared>(
        std::shared_ptr<pull_means>(new pull_means{io, store, std::move(credentials), limits}))) {}

artifact_fetcher::~artifact_fetcher() {
  stop();
}

void artifact_fetcher::fetch(fetch_request wanted, callback ended) {
  if (const auto refused = shared_->add(std::move(wanted), ended))
    ended(*refused);
}

std::size_t artifact_fetcher::active() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->jobs.size();
}

void artifact_fetcher::stop() {
  std::map<digest, shared::job> ending;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopped = true;
    shared_->waiting.clear();
    ending.swap(shared_->jobs);
  }
  for (const auto& [content, one] : ending)
    if (one.pull)
      one.pull->cut();
  shared_->means->disk.stop();
  const error stopped{recovery::retry_later, "fetch_stopped", "this node is stopping"};
  for (const auto& [content, one] : ending)
    for (const auto& call : one.ended)
      call(stopped);
}

} // namespace consort::node
