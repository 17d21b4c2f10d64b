// SPDX-License-Identifier: Apache-2.0
#include "links/connector.hpp"

#include "links/call_gate.hpp"
#include "links/dialler.hpp"
#include "links/essential.hpp"
#include "links/log.hpp"
#include "messages/codec.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <atomic>

namespace consort::links {

namespace asio = boost::asio;

namespace {

error stopping() {
  return {recovery::retry_later, "stopping", "this process stops"};
}

} // namespace

/// What outlives the handle while the io_context still works on it. Everything but the gate and the
/// shown state belongs to the strand, on which its links run too.
struct connector::shell : std::enable_shared_from_this<connector::shell> {
  shell(asio::io_context& on, connector_options wanted, up_handler up, down_handler down)
      : strand(asio::make_strand(on)),
        options(std::move(wanted)),
        on_up(std::move(up)),
        on_down(std::move(down)),
        fsm(options.backoff, core::prng(options.seed)),
        wake(strand) {}

  task<void> run();
  task<error> attend(std::shared_ptr<link_core> core);
  task<void> wait(duration_us span);
  void tell(const error& why, duration_us pause);
  void listen_in(const messages::frame& frame);
  void moved() { shown = fsm.state(); }
  void end();

  asio::any_io_executor strand;
  const connector_options options;
  call_gate gate;
  up_handler on_up;
  down_handler on_down;
  std::atomic<dial_state> shown = dial_state::waiting;

  links::backoff fsm;
  asio::steady_timer wake;
  std::shared_ptr<dialler> dialling;
  std::shared_ptr<link_core> current;
  std::optional<error> lost;    ///< The current link's end.
  std::optional<error> refusal; ///< What its other end said.
  std::string told;             ///< Code of the latest end in the log; empty = linked since.
  time_us told_at = 0;
  std::uint64_t untold = 0; ///< Ends that the log left out since.
};

task<void> connector::shell::run() {
  const auto self = shared_from_this();
  while (!gate.is_shut()) {
    fsm.begin();
    moved();
    dialling = std::make_shared<dialler>(strand, options);
    auto made = co_await dialling->dial();
    dialling.reset();
    error why;
    if (made) {
      why = co_await attend(std::move(*made));
    } else {
      why = made.failure();
    }
    const auto pause = fsm.ended();
    moved();
    gate.pass([&] { on_down(why); });
    if (gate.is_shut())
      break;
    tell(why, pause);
    co_await wait(pause);
  }
}

/// What goes on for hours is told when it begins and then once a minute, since pauses are short.
void connector::shell::tell(const error& why, duration_us pause) {
  const auto now = steady_now_us();
  const bool news = why.code != told || now - told_at >= options.limits.log_every;
  if (!news) {
    ++untold;
    return;
  }
  log().info("{} ({}); dialling again in {} ms{}", why.message, why.code, pause / 1'000,
             untold == 0 ? "" : ", after " + std::to_string(untold) + " more such tries");
  told = why.code;
  told_at = now;
  untold = 0;
}

/// From a new link to its end. Returns: why it ended, in the other end's words if it gave any.
task<error> connector::shell::attend(std::shared_ptr<link_core> core) {
  lost.reset();
  refusal.reset();
  current = core;
  fsm.established();
  moved();
  const auto weak = weak_from_this();
  core->hooks.on_frame = [weak](const messages::frame& frame) {
    if (const auto self = weak.lock())
      self->listen_in(frame);
  };
  core->hooks.on_ended = [weak](const error& why) {
    if (const auto self = weak.lock()) {
      self->lost = why;
      self->wake.cancel();
    }
  };
  if (options.credentials)
    core->hooks.revoked = [known = options.credentials, serial = core->peer.serial] {
      return known->revoked(serial);
    };
  {
    const auto handle = std::make_shared<link>(core);
    if (!gate.pass([&] { on_up(handle); }))
      core->cut(stopping());
  }
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::microseconds(options.limits.welcome);
  while (!lost) {
    const bool linked = fsm.state() == dial_state::linked;
    if (!linked && std::chrono::steady_clock::now() >= until)
      core->cut({recovery::retry_later, "no_welcome",
                 core->address + " did not answer the hello in time"});
    wake.expires_at(linked ? std::chrono::steady_clock::time_point::max() : until);
    co_await wake.async_wait(as_values);
  }
  current.reset();
  // A guard that wants TLS has no words for who speaks without.
  if (!options.credentials && fsm.state() == dial_state::greeting && lost->code == "link_lost")
    lost->message += " before it answered: does it want a certificate (--cert FOLDER)?";
  co_return refusal ? *refusal : *lost;
}

void connector::shell::listen_in(const messages::frame& frame) {
  if (frame.kind != messages::frame_kind::hello_answer)
    return;
  const auto answer = messages::decode_hello_answer(frame.payload);
  if (answer && !answer->body.refusal) {
    if (fsm.state() == dial_state::greeting)
      log().info("linked to {} {}", name_of(options.expected), current->address);
    fsm.welcomed();
    told.clear();
    untold = 0;
  } else {
    fsm.refused();
    refusal = answer ? *answer->body.refusal : answer.failure();
  }
  moved();
  wake.cancel();
}

task<void> connector::shell::wait(duration_us span) {
  wake.expires_after(std::chrono::microseconds(span));
  co_await wake.async_wait(as_values);
}

void connector::shell::end() {
  wake.cancel();
  if (dialling)
    dialling->cut();
  if (current)
    current->close(stopping());
}

// --- the handle ---

result<std::unique_ptr<connector>> connector::start(asio::io_context& io, connector_options options,
                                                    up_handler on_up, down_handler on_down) {
  if (auto problem = check_target(options))
    return *std::move(problem);
  const auto made
      = std::make_shared<shell>(io, std::move(options), std::move(on_up), std::move(on_down));
  asio::co_spawn(
      made->strand, [made] { return made->run(); },
      essential("the loop that keeps a link to the scheduler"));
  return std::unique_ptr<connector>(new connector(made));
}

connector::connector(std::shared_ptr<shell> started) : shell_(std::move(started)) {}

connector::~connector() {
  stop();
}

void connector::stop() {
  if (shell_->gate.is_shut())
    return;
  shell_->gate.shut();
  asio::post(shell_->strand, [shell = shell_] { shell->end(); });
}

void connector::dial_now() {
  asio::post(shell_->strand, [shell = shell_] {
    if (shell->fsm.state() == dial_state::waiting)
      shell->wake.cancel();
  });
}

dial_state connector::state() const {
  return shell_->shown;
}

} // namespace consort::links
