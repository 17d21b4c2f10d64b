// SPDX-License-Identifier: Apache-2.0
#include "links/link_core.hpp"

#include "links/log.hpp"
#include "links/spare_room.hpp"
#include "links/tls_error.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace consort::links {

namespace asio = boost::asio;

namespace {

std::chrono::steady_clock::time_point at_us(time_us when) {
  return std::chrono::steady_clock::time_point(std::chrono::microseconds(when));
}

error link_error(const char* code, std::string message) {
  return {recovery::retry_later, code, std::move(message)};
}

} // namespace

link_core::link_core(parts made)
    : peer(std::move(made.peer)),
      address(std::move(made.address)),
      stream_(std::move(made.stream)),
      session_(std::move(made.session)),
      rules_(std::move(made.rules)),
      limits_(made.limits),
      ticker_(stream_.socket().get_executor()),
      pauser_(stream_.socket().get_executor()) {}

template <class Action>
void link_core::post(Action action) {
  asio::post(ticker_.get_executor(),
             [self = shared_from_this(), action = std::move(action)]() mutable { action(*self); });
}

// --- from any thread ---

void link_core::start(link_callbacks callbacks) {
  held_->few = limits_.held_frames / 2;
  held_->link = weak_from_this();
  post([callbacks = std::move(callbacks)](link_core& self) mutable {
    self.begin(std::move(callbacks));
  });
}

bool link_core::send(const messages::frame& outgoing) {
  const auto bytes = messages::write_frame(outgoing.kind, outgoing.payload);
  if (!bytes) {
    log().error("{}: cannot send: {}", address, bytes.failure().message);
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    if (closing_)
      return false;
    if (unsent_frames_ < limits_.queue_frames
        && unsent_bytes_ + bytes->size() <= limits_.queue_bytes) {
      enqueue(*bytes);
      return true;
    }
  }
  cut(link_error("peer_too_slow", address + " does not take what is sent to it"));
  return false;
}

/// Requires: the mutex.
void link_core::enqueue(const std::vector<char>& bytes) {
  queue_.insert(queue_.end(), bytes.begin(), bytes.end());
  ++queue_frames_;
  ++unsent_frames_;
  unsent_bytes_ += bytes.size();
  if (!std::exchange(flushing_, true))
    post([](link_core& self) { self.flush(); });
}

void link_core::close(const error& why) {
  const std::lock_guard lock(mutex_);
  if (closing_)
    return;
  closing_ = why;
  post([](link_core& self) { self.say_goodbye(); });
}

void link_core::cut(const error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!closing_)
      closing_ = why;
  }
  post([why](link_core& self) { self.finish(why); });
}

void link_core::release() {
  post([](link_core& self) {
    if (!self.started_)
      self.finish(link_error("link_unused", "nobody wanted the link to " + self.address));
  });
}

frame_hold link_core::hold() {
  ++held_->count;
  return {held_.get(), [held = held_](const void*) {
            if (--held->count != held->few)
              return;
            if (const auto link = held->link.lock(); link && !link->closing())
              link->post([](link_core& self) { self.resume_reading(); });
          }};
}

bool link_core::closing() {
  const std::lock_guard lock(mutex_);
  return closing_.has_value();
}

// --- reading ---

void link_core::begin(link_callbacks callbacks) {
  started_ = true;
  if (ended_)
    return callbacks.on_closed(*ended_);
  callbacks_ = std::move(callbacks);
  arm_tick();
  hand_on(); // The stream may have brought more than a hello.
}

void link_core::read() {
  if (ended_ || reading_)
    return;
  reading_ = true;
  input_.resize(limits::read_bytes);
  stream_.read_some(asio::buffer(input_),
                    [self = shared_from_this()](auto failed, std::size_t bytes) {
                      self->did_read(failed, bytes);
                    });
}

void link_core::did_read(boost::system::error_code failed, std::size_t bytes) {
  reading_ = false;
  if (ended_)
    return;
  if (failed)
    return finish(describe_end(failed, address));
  if (closing())
    return read(); // Discarded; only the end is of interest.
  session_->feed(std::span(input_.data(), bytes), steady_now_us());
  hand_on();
}

void link_core::hand_on() {
  bool full = false; // Looked at once: a hold may go meanwhile.
  while (!closing() && !(full = crowded())) {
    auto frame = session_->next(steady_now_us());
    if (!frame)
      return finish(frame.failure());
    if (!*frame)
      break;
    if (hooks.on_frame)
      hooks.on_frame(**frame);
    callbacks_.on_frame(*std::move(*frame));
  }
  if (full && !closing()) {
    crowded_out_ = true;
    return;
  }
  const auto span = session_->pause(steady_now_us());
  if (span > 0 && !closing())
    return pause_reading(span);
  read();
}

void link_core::pause_reading(duration_us span) {
  pauser_.expires_after(std::chrono::microseconds(span));
  pauser_.async_wait([self = shared_from_this()](boost::system::error_code failed) {
    if (!failed)
      self->read();
  });
}

void link_core::resume_reading() {
  if (ended_ || !std::exchange(crowded_out_, false))
    return;
  session_->excuse(steady_now_us());
  hand_on();
}

// --- writing ---

void link_core::flush() {
  if (ended_)
    return;
  {
    const std::lock_guard lock(mutex_);
    unsent_bytes_ -= output_.size();
    unsent_frames_ -= std::exchange(output_frames_, std::exchange(queue_frames_, 0));
    empty(output_, limits::kept_bytes_max);
    output_.swap(queue_);
    flushing_ = !output_.empty();
  }
  output_sent_ = 0;
  if (output_.empty())
    return drained();
  session_->writing(steady_now_us());
  write_more();
}

void link_core::write_more() {
  stream_.write_some(
      asio::buffer(output_) + output_sent_,
      [self = shared_from_this()](auto failed, std::size_t bytes) { self->wrote(failed, bytes); });
}

void link_core::wrote(boost::system::error_code failed, std::size_t bytes) {
  if (ended_)
    return;
  if (failed)
    return finish(describe_end(failed, address));
  output_sent_ += bytes;
  session_->writing(steady_now_us());
  if (output_sent_ < output_.size())
    return write_more();
  flush();
}

void link_core::drained() {
  session_->written(steady_now_us());
  if (closing())
    say_goodbye();
}

/// After close(), and again when the queue is empty. Closing a socket with unread input would reset
/// the connection and tear our last words away from the other end; so that end goes first, unless
/// it takes too long.
void link_core::say_goodbye() {
  if (ended_)
    return;
  if (!std::exchange(leaving_, true)) {
    pauser_.expires_after(std::chrono::microseconds(limits_.drain));
    pauser_.async_wait([self = shared_from_this()](boost::system::error_code failed) {
      if (!failed)
        self->finish(link_error("link_closed", self->address + " was in no hurry to close"));
    });
  }
  {
    const std::lock_guard lock(mutex_);
    if (flushing_)
      return;
  }
  boost::system::error_code ignored;
  stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  read();
}

// --- the watch ---

void link_core::arm_tick() {
  ticker_.expires_at(at_us(session_->next_tick()));
  ticker_.async_wait([self = shared_from_this()](boost::system::error_code failed) {
    if (!failed)
      self->ticked();
  });
}

void link_core::ticked() {
  if (ended_)
    return;
  if (hooks.revoked && hooks.revoked())
    return finish({recovery::refuse, "certificate_revoked",
                   "the certificate " + peer.serial + " of `" + peer.name + "` is revoked"});
  if (crowded_out_)
    session_->excuse(steady_now_us());
  switch (session_->tick(steady_now_us())) {
  case tick_action::silent:
    return finish(link_error("link_silent", address + " shows no sign of life"));
  case tick_action::stalled:
    return finish(link_error("peer_too_slow", address + " does not take what is sent to it"));
  case tick_action::beat: send({messages::frame_kind::heartbeat, {}}); break;
  case tick_action::none: break;
  }
  arm_tick();
}

/// The first reason counts, and close() may have given it.
void link_core::finish(const error& why) {
  if (ended_)
    return;
  {
    const std::lock_guard lock(mutex_);
    if (!closing_)
      closing_ = why;
    ended_ = closing_;
    queue_ = {};
  }
  stream_.cut();
  ticker_.cancel();
  pauser_.cancel();
  const auto callbacks = std::exchange(callbacks_, {});
  const auto made_by = std::exchange(hooks, {});
  if (callbacks.on_closed)
    callbacks.on_closed(*ended_);
  if (made_by.on_ended)
    made_by.on_ended(*ended_);
}

} // namespace consort::links
