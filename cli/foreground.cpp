// SPDX-License-Identifier: Apache-2.0
#include "cli/foreground.hpp"

#include "cli/exit_code.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdlib>
#include <ostream>
#include <string_view>
#include <thread>
#include <unistd.h>

namespace consort::cli {

namespace {

/// Ends the process `after` from now, unless it ended by itself. The thread owns nothing, so it may
/// outlive main's objects.
void leave_by_force(std::chrono::milliseconds after) {
  std::thread([after] {
    std::this_thread::sleep_for(after);
    constexpr std::string_view last_words
        = "consort: some part did not stop in time; leaving without it\n";
    [[maybe_unused]] const auto written
        = ::write(STDERR_FILENO, last_words.data(), last_words.size());
    std::_Exit(static_cast<int>(exit_code::failed));
  }).detach();
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
