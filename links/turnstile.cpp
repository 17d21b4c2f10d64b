// SPDX-License-Identifier: Apache-2.0
#include "links/turnstile.hpp"

namespace consort::links {

turnstile::turn::turn(std::shared_ptr<turnstile> of, std::string key, std::function<void()> called)
    : of_(std::move(of)), key_(std::move(key)), called_(std::move(called)) {
  of_->enter(*this);
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

std::size_t turnstile::keys() const {
  const std::lock_guard lock(mutex_);
  return gates_.size();
}

void turnstile::enter(turn& one) {
  const std::lock_guard lock(mutex_);
  auto& own = gates_[one.key_];
  one.inside_ = own.inside < inside_max_;
  if (one.inside_)
    ++own.inside;
  else
    own.waiting.push_back(&one);
}

void turnstile::leave(turn& one) {
  const std::lock_guard lock(mutex_);
  const auto found = gates_.find(one.key_);
  auto& own = found->second;
  if (!one.inside_) {
    own.waiting.remove(&one);
    return;
  }
  --own.inside;
  if (!own.waiting.empty()) {
    auto& next = *own.waiting.front();
    own.waiting.pop_front();
    next.inside_ = true;
    ++own.inside;
    next.called_();
  }
  if (own.inside == 0)
    gates_.erase(found);
}

} // namespace consort::links
