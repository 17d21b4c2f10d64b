// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_fetch.hpp"

#include "node/artifact_pull.hpp"
#include "node/file_digest.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <deque>
#include <map>
#include <utility>

namespace consort::node {

/// What is fetched, and for which key: the copy of one is no copy for another of the same content.
using fetch_name = std::pair<digest, artifact_key>;

struct artifact_fetcher::shared : std::enable_shared_from_this<artifact_fetcher::shared> {
  struct job {
    std::vector<callback> ended;
    std::shared_ptr<artifact_pull> pull; ///< Null while it waits.
    fetch_request wanted;
  };

  explicit shared(std::shared_ptr<pull_means> with) : means(std::move(with)) {}

  [[nodiscard]] std::optional<error> add(fetch_request wanted, callback& ended);
  void begin_next();
  void finished(const fetch_name& name, const result<artifact_record>& outcome);

  const std::shared_ptr<pull_means> means;
  mutable std::mutex mutex;
  std::map<fetch_name, job> jobs;
  std::deque<fetch_name> waiting;
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
  const fetch_name name(wanted.content, wanted.key);
  if (const auto found = jobs.find(name); found != jobs.end()) {
    found->second.ended.push_back(std::move(ended));
    return std::nullopt;
  }
  if (waiting.size() >= means->limits.waiting)
    return error{recovery::retry_later, "fetch_queue_full",
                 "as many artifacts as may be wait to be fetched"};
  waiting.push_back(name);
  auto& added = jobs[name];
  added.ended.push_back(std::move(ended));
  added.wanted = std::move(wanted);
  begin_next();
  return std::nullopt;
}

/// Requires: the lock.
void artifact_fetcher::shared::begin_next() {
  while (running < means->limits.running && !waiting.empty() && !stopped) {
    const auto name = waiting.front();
    waiting.pop_front();
    auto& next = jobs.at(name);
    next.pull = std::make_shared<artifact_pull>(means, next.wanted);
    ++running;
    const callback done
        = [self = shared_from_this(), name](const result<artifact_record>& outcome) {
            self->finished(name, outcome);
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

void artifact_fetcher::shared::finished(const fetch_name& name,
                                        const result<artifact_record>& outcome) {
  std::vector<callback> calls;
  {
    const std::lock_guard lock(mutex);
    --running;
    if (const auto found = jobs.find(name); found != jobs.end()) {
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
  std::map<fetch_name, shared::job> ending;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopped = true;
    shared_->waiting.clear();
    ending.swap(shared_->jobs);
  }
  for (const auto& [name, one] : ending)
    if (one.pull)
      one.pull->cut();
  shared_->means->disk.stop();
  const error stopped{recovery::retry_later, "fetch_stopped", "this node is stopping"};
  for (const auto& [name, one] : ending)
    for (const auto& call : one.ended)
      call(stopped);
}

} // namespace consort::node
