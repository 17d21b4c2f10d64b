// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/host_link.hpp"

#include "links/channel.hpp"
#include "node/runtimes/linked_session.hpp"
#include "node/runtimes/session_stats.hpp"
#include "node/runtimes/token_limit.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <chrono>

namespace consort::node {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

error protocol_error(const std::string& what) {
  return error{recovery::retry_elsewhere, "host_protocol", "broke the host protocol: " + what};
}

} // namespace

host_link::host_link(asio::io_context& io, std::shared_ptr<const c_abi_options> options,
                     session_request wanted, opened_handler opened, died_handler died)
    : options_(std::move(options)),
      wanted_(std::move(wanted)),
      opened_(std::move(opened)),
      died_(std::move(died)),
      strand_(asio::make_strand(io)),
      socket_(strand_),
      log_pipe_(strand_),
      exit_(strand_),
      life_timer_(strand_),
      cancel_timer_(strand_),
      stats_timer_(strand_),
      attempts_(options_->bounds),
      log_(wanted_.device.id.value) {}

template <class Action>
void host_link::on_strand(Action action) {
  asio::post(strand_,
             [self = shared_from_this(), action = std::move(action)]() mutable { action(*self); });
}

/// A timer that was set again may still fire once for the old time; every action checks the phase.
template <class Action>
void host_link::after(asio::steady_timer& timer, duration_us span, Action action) {
  timer.expires_after(std::chrono::microseconds(span));
  timer.async_wait([self = shared_from_this(), action](error_code failed) {
    if (!failed)
      action(*self);
  });
}

// --- called from any thread ---

void host_link::start() {
  on_strand([](host_link& self) { self.spawn(); });
}

void host_link::submit(const attempt_id& attempt, attempt_body body,
                       std::shared_ptr<attempt_sink> sink) {
  on_strand([attempt, body = std::move(body), sink = std::move(sink)](host_link& self) mutable {
    if (self.phase_ != phase::open) {
      const error gone{recovery::retry_elsewhere, "session_closed", "the instance is gone"};
      return sink->on_event(attempt_aborted{gone, false});
    }
    const auto asked = asked_tokens_of(body);
    auto held = hold_to_limit(asked, sink, [link = self.weak_from_this(), attempt] {
      if (const auto there = link.lock())
        there->cancel(attempt);
    });
    const auto number = self.attempts_.add(attempt, std::move(held), asked.choices);
    if (!number)
      return sink->on_event(attempt_aborted{number.failure(), false});
    const auto sent = self.send(messages::host_submit{*number, std::move(body)}, true);
    if (!sent)
      self.attempts_.withdraw(*number, attempt_aborted{sent.failure(), false});
  });
}

void host_link::cancel(const attempt_id& attempt) {
  on_strand([attempt](host_link& self) {
    if (self.phase_ != phase::open)
      return;
    const auto number = self.attempts_.cancel(attempt, links::steady_now_us());
    if (!number)
      return;
    if (const auto sent = self.send(messages::host_cancel{*number}); !sent)
      return self.kill(sent.failure().message);
    if (!std::exchange(self.cancel_watched_, true))
      self.watch_cancels();
  });
}

void host_link::close() {
  on_strand([](host_link& self) {
    self.died_ = nullptr;
    if (self.phase_ != phase::open)
      return;
    self.phase_ = phase::closing;
    self.attempts_.abort_all(
        error{recovery::retry_elsewhere, "session_closed", "the instance was unloaded"}, false);
    if (const auto sent = self.send(messages::host_close{}); !sent)
      return self.kill(sent.failure().message);
    self.after(self.life_timer_, self.options_->bounds.close_us, [](host_link& link) {
      if (link.phase_ == phase::closing)
        link.kill("did not close in time");
    });
  });
}

void host_link::abandon() {
  const std::lock_guard lock(process_mutex_);
  abandoned_ = true;
  if (process_) {
    process_->kill();
    process_->reap();
  }
}

session_stats host_link::stats() const {
  const std::lock_guard lock(stats_mutex_);
  auto copy = stats_;
  for (auto* figure : {&copy.capacity.sequences, &copy.capacity.kv_tokens})
    if (figure->value)
      figure->age_us = links::steady_now_us() - stats_read_at_;
  return copy;
}

// --- life of the process ---

void host_link::spawn() {
  auto config = open_config();
  if (!config) {
    phase_ = phase::dead;
    return conclude_open(config.failure());
  }
  result<host_process::started> host
      = error{recovery::retry_elsewhere, "runtime_closed", "the runtime was destroyed"};
  {
    const std::lock_guard lock(process_mutex_);
    if (!abandoned_)
      host = host_process::spawn(*options_);
    if (host)
      process_ = std::move(host->process);
  }
  if (!host) {
    phase_ = phase::dead;
    return conclude_open(host.failure());
  }
  phase_ = phase::loading;
  error_code failed;
  socket_.assign(asio::local::stream_protocol(), host->socket.release(), failed);
  if (!failed)
    log_pipe_.assign(host->log.release(), failed);
  if (!failed)
    exit_.assign(host->exit.release(), failed);
  if (failed)
    return kill("cannot be watched: " + failed.message());
  exit_.async_wait(asio::posix::descriptor_base::wait_read,
                   [self = shared_from_this()](error_code) {
                     // Ends its helpers too, so that the pipes come to their end.
                     self->process_->reap();
                     self->ended_part(self->exited_);
                   });
  read_socket();
  read_log();
  after(life_timer_, options_->bounds.start_us, [](host_link& self) {
    if (self.phase_ == phase::loading || self.phase_ == phase::measuring)
      self.kill("did not load within " + format_duration(self.options_->bounds.start_us),
                "runtime_start_timeout");
  });
  if (const auto sent = send(messages::host_open{"", std::move(*config)}); !sent)
    kill(sent.failure().message);
}

/// What plugin.json adds, and our own keys over it.
result<std::string> host_link::open_config() const {
  auto config = nlohmann::json::parse(options_->config_json, nullptr, false);
  if (!config.is_object())
    return error{recovery::refuse, "runtime_config_bad",
                 "the runtime's config is not a JSON object: " + options_->config_json};
  const auto& device = wanted_.device;
  const auto sequences
      = options_->sequences != 0 ? options_->sequences : device.capability.max_sequences;
  config["model"] = wanted_.path;
  if (!wanted_.weights_path.empty())
    config["weights"] = wanted_.weights_path;
  if (!wanted_.adapters.empty() && !options_->capabilities.adapters)
    return error{recovery::refuse, "no_adapters",
                 wanted_.device.id.value + ": its runtime loads no LoRA adapters"};
  for (const auto& one : wanted_.adapters)
    config["adapters"].push_back({{"name", one.name.value}, {"path", one.path}});
  config["device"] = device.uuid.empty() ? device.id.value : device.uuid;
  if (wanted_.context_tokens != 0)
    config["context"] = wanted_.context_tokens;
  if (sequences != 0)
    config["sequences"] = sequences;
  if (options_->threads != 0)
    config["threads"] = options_->threads;
  if (const auto& place = wanted_.place; place.degree > 1) {
    auto& devices = config["devices"] = nlohmann::json::array();
    for (const auto& one : place.devices)
      devices.push_back(one.uuid.empty() ? one.id.value : one.uuid);
    config["tp"] = place.degree;
    config["first"] = place.first;
    config["rank"] = place.rank;
    config["ranks"] = place.ranks;
    config["master"] = place.master;
  }
  return config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void host_link::kill(const std::string& why, std::string code) {
  if (phase_ == phase::dying || phase_ == phase::dead)
    return;
  phase_ = phase::dying;
  cause_ = error{recovery::retry_elsewhere, std::move(code), why};
  process_->kill();
  // A process stuck inside a driver does not die; its attempts must not wait for it.
  after(life_timer_, limits::child_reap_us_max, [](host_link& self) { self.conclude(); });
}

/// The exit, the end of the socket and the end of the output come in any order; the last one, or a
/// timer, concludes.
void host_link::ended_part(bool& part) {
  part = true;
  if (phase_ == phase::dead)
    return;
  if (exited_ && socket_ended_ && log_ended_)
    return conclude();
  // A host that merely closed its socket is of no use any more; one that crashed does not mind.
  if (socket_ended_)
    process_->kill();
  after(life_timer_, limits::child_reap_us_max, [](host_link& self) { self.conclude(); });
}

void host_link::conclude() {
  if (phase_ == phase::dead)
    return;
  phase_ = phase::dead;
  const auto failure = death();
  for (auto* timer : {&life_timer_, &cancel_timer_, &stats_timer_})
    timer->cancel();
  error_code ignored;
  socket_.close(ignored);
  log_pipe_.close(ignored);
  exit_.close(ignored);
  conclude_open(failure);
  attempts_.abort_all(failure, true);
  if (const auto died = std::exchange(died_, nullptr))
    died(failure);
}

/// The first outcome counts. A failed open leaves nothing that could die later.
void host_link::conclude_open(result<std::shared_ptr<runtime_session>> outcome) {
  const auto opened = std::exchange(opened_, nullptr);
  if (!opened)
    return;
  if (!outcome)
    died_ = nullptr;
  opened(std::move(outcome));
}

error host_link::death() const {
  auto text = wanted_.device.id.value + ": host process of "
              + (options_->vendor_library.empty() ? options_->library : options_->vendor_library);
  text += cause_ ? " was killed: " + cause_->message : " ended with " + process_->reap();
  if (const auto tail = log_.tail(); !tail.empty())
    text += "; it printed: " + tail;
  return error{recovery::retry_elsewhere, cause_ ? cause_->code : "runtime_died", std::move(text)};
}

// --- bytes ---

void host_link::read_socket() {
  socket_.async_read_some(asio::buffer(read_buffer_),
                          [self = shared_from_this()](error_code failed, std::size_t size) {
                            if (failed)
                              return self->ended_part(self->socket_ended_);
                            self->reader_.feed({self->read_buffer_.data(), size});
                            self->take_frames();
                            if (self->phase_ != phase::dead)
                              self->read_socket();
                          });
}

void host_link::read_log() {
  log_pipe_.async_read_some(asio::buffer(log_buffer_),
                            [self = shared_from_this()](error_code failed, std::size_t size) {
                              if (failed)
                                return self->ended_part(self->log_ended_);
                              self->log_.feed({self->log_buffer_.data(), size});
                              if (self->phase_ != phase::dead)
                                self->read_log();
                            });
}

void host_link::take_frames() {
  while (phase_ != phase::dying && phase_ != phase::dead) {
    auto frame = reader_.next();
    if (!frame)
      return kill(frame.failure().message);
    if (!*frame)
      return;
    if ((*frame)->kind != messages::frame_kind::host_report)
      return kill("sent a frame that is not a report");
    auto report = messages::decode_host_report((*frame)->payload);
    if (!report)
      return kill(report.failure().message);
    const auto fits = std::visit([this](auto& said) { return on(std::move(said)); }, *report);
    if (!fits)
      return kill(fits.failure().message);
  }
}

result<done> host_link::send(const messages::host_command& command, bool bounded) {
  const auto payload = messages::encode(command);
  if (!payload)
    return payload.failure();
  const auto frame = messages::write_frame(messages::frame_kind::host_command, *payload);
  if (!frame)
    return frame.failure();
  if (bounded
      && queued_.size() + leaving_.size() + frame->size() > options_->bounds.unsent_bytes_max)
    return error{recovery::retry_elsewhere, "runtime_busy",
                 wanted_.device.id.value + ": the host process does not read fast enough"};
  queued_.insert(queued_.end(), frame->begin(), frame->end());
  write_queued();
  return done{};
}

void host_link::write_queued() {
  if (writing_ || queued_.empty() || phase_ == phase::dead)
    return;
  std::swap(queued_, leaving_);
  writing_ = true;
  asio::async_write(socket_, asio::buffer(leaving_),
                    [self = shared_from_this()](error_code failed, std::size_t) {
                      self->writing_ = false;
                      self->leaving_.clear();
                      // After a failure the reading side sees the end of the socket, too.
                      if (!failed)
                        self->write_queued();
                    });
}

// --- what the host says ---

result<done> host_link::on(messages::host_opened) {
  if (phase_ != phase::loading)
    return protocol_error("opened twice");
  phase_ = phase::measuring;
  tick_stats();
  return done{};
}

result<done> host_link::on(messages::host_open_failed report) {
  if (phase_ != phase::loading)
    return protocol_error("opened, then failed to open");
  phase_ = phase::closing;
  after(life_timer_, options_->bounds.close_us, [](host_link& self) {
    if (self.phase_ == phase::closing)
      self.kill("did not close in time");
  });
  auto failure = std::move(report.failure);
  failure.message = wanted_.device.id.value + ": " + failure.message;
  conclude_open(std::move(failure));
  return done{};
}

result<done> host_link::on(messages::host_event report) {
  if (phase_ == phase::closing)
    return done{};
  if (phase_ != phase::open)
    return protocol_error("an event before it was open");
  return attempts_.deliver(report.request, std::move(report.happened));
}

result<done> host_link::on(messages::host_stats report) {
  if (phase_ == phase::closing)
    return done{};
  if (!stats_asked_at_ || report.number != stats_number_)
    return protocol_error("counters that nobody asked for");
  stats_asked_at_.reset();
  {
    const std::lock_guard lock(stats_mutex_);
    stats_ = parse_session_stats(report.json);
    stats_read_at_ = links::steady_now_us();
  }
  if (phase_ == phase::measuring) {
    phase_ = phase::open;
    conclude_open(std::shared_ptr<runtime_session>(
        std::make_shared<linked_session<host_link>>(shared_from_this())));
  }
  return done{};
}

// --- clocks ---

void host_link::watch_cancels() {
  const auto oldest = attempts_.oldest_cancel();
  cancel_watched_ = oldest.has_value() && phase_ == phase::open;
  if (!cancel_watched_)
    return;
  const auto limit = options_->bounds.cancel_us;
  const auto waited = links::steady_now_us() - *oldest;
  if (waited >= limit)
    return kill("did not acknowledge a cancel within " + format_duration(limit));
  after(cancel_timer_, limit - waited, [](host_link& self) { self.watch_cancels(); });
}

void host_link::tick_stats() {
  if (phase_ != phase::open && phase_ != phase::measuring)
    return;
  const auto limit = options_->bounds.silent_us;
  if (!stats_asked_at_) {
    stats_asked_at_ = links::steady_now_us();
    if (const auto sent = send(messages::host_read_stats{++stats_number_}); !sent)
      return kill(sent.failure().message);
  } else if (links::steady_now_us() - *stats_asked_at_ >= limit) {
    return kill("has not answered for " + format_duration(limit));
  }
  after(stats_timer_, options_->bounds.stats_us, [](host_link& self) { self.tick_stats(); });
}

} // namespace consort::node
