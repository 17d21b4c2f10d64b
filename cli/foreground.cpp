// SPDX-License-Identifier: Apache-2.0
#include "cli/foreground.hpp"

#include "cli/exit_code.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <ostream>
#include <string_view>
#include <sys/time.h>
#include <thread>
#include <unistd.h>

namespace consort::cli {

namespace {

/// Only what a signal handler may do.
void leave(int) {
  constexpr std::string_view last_words
      = "consort: some part did not stop in time; leaving without it\n";
  [[maybe_unused]] const auto written
      = ::write(STDERR_FILENO, last_words.data(), last_words.size());
  ::_exit(static_cast<int>(exit_code::failed));
}

/// Ends the process `after` from now, unless it ended by itself; a later call replaces an earlier
/// one. A timer of the kernel, so that nothing which hangs in here can hold it up.
void leave_by_force(std::chrono::milliseconds after) {
  struct sigaction action {};
  action.sa_handler = leave;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  itimerval timer{};
  timer.it_value.tv_sec = after.count() / 1'000;
  timer.it_value.tv_usec = (after.count() % 1'000) * 1'000;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

} // namespace

void serve_until_signalled(const foreground_service& service, std::ostream& err) {
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  boost::asio::signal_set reloads(io);
  std::function<void(const boost::system::error_code&, int)> on_reload
      = [&](const boost::system::error_code& failure, int) {
          if (failure)
            return;
          service.reload();
          reloads.async_wait(on_reload);
        };
  if (service.reload) {
    reloads.add(SIGHUP);
    reloads.async_wait(on_reload);
  }
  std::thread draining;
  signals.async_wait([&](const boost::system::error_code&, int) {
    err << "stopping; again to stop now\n" << std::flush;
    leave_by_force(stop_within);
    draining = std::thread([&] {
      service.drain();
      io.stop();
    });
    signals.async_wait([&](const boost::system::error_code& failure, int) {
      if (failure)
        return;
      leave_by_force(stop_now_within);
      service.hurry();
    });
  });
  io.run();
  if (draining.joinable())
    draining.join();
}

} // namespace consort::cli
