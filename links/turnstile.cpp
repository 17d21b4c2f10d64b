// SPDX-License-Identifier: Apache-2.0
#include "links/turnstile.hpp"

#include "links/channel.hpp"

namespace consort::links {

turnstile::turn::turn(std::shared_ptr<turnstile> of, const std::string& key,
                      std::function<void()> called)
    : of_(std::move(of)), called_(std::move(called)) {
  of_->enter(*this, key);
}

turnstile::turn::~turn() {
  of_->leave(*this);
}

bool turnstile::turn::has_come() const {
  const std::lock_guard lock(of_->mutex_);
  return inside_;
}

std::unique_ptr<turnstile::turn> turnstile::ask(const std::string& key,
                                                std::function<void()> called) {
  return std::make_unique<turn>(shared_from_this(), key, std::move(called));
}

void turnstile::enter(turn& one, const std::string& key) {
  const std::lock_guard lock(mutex_);
  one.id_ = ++last_id_;
  waiting_.emplace(one.id_, &one);
  order_.enter(one.id_, key);
  call_next(&one);
}

void turnstile::leave(turn& one) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(one.id_);
  order_.leave(one.id_, one.well_);
  call_next(nullptr);
}

/// Under the mutex. `silently`: who looks for itself.
void turnstile::call_next(const turn* silently) {
  for (const auto id : order_.call(steady_now_us())) {
    const auto found = waiting_.find(id);
    auto* const next = found->second;
    waiting_.erase(found);
    next->inside_ = true;
    if (next != silently)
      next->called_();
  }
  wait_for_time();
}

/// Under the mutex. One timer for all who wait, and only while somebody does.
void turnstile::wait_for_time() {
  if (timed_)
    return;
  const auto span = order_.next(steady_now_us());
  if (!span)
    return;
  timed_ = true;
  timer_.expires_after(std::chrono::microseconds(*span));
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code stopped) {
    const auto self = weak.lock();
    if (!self || stopped)
      return;
    const std::lock_guard lock(self->mutex_);
    self->timed_ = false;
    self->call_next(nullptr);
  });
}

} // namespace consort::links
