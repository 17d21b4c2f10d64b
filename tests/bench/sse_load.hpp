// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Both ends of a stream of server-sent events at its barest, for measuring what stands between
/// them: an engine that answers every POST with a fixed number of events, one per step, and clients
/// that only count what comes. Everything runs on the one thread of the io_context.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace consort::bench {

/// Calls its subscribers once per step, as a batching engine advances all its sequences at once.
class step_clock {
public:
  /// Returns: false when it wants no more.
  using subscriber = std::function<bool()>;

  step_clock(boost::asio::io_context& io, std::chrono::microseconds step);
  void subscribe(subscriber one) { fresh_.push_back(std::move(one)); }

private:
  void run();

  boost::asio::steady_timer timer_;
  std::chrono::microseconds step_;
  std::vector<subscriber> subscribers_, fresh_;
};

/// Answers every request on 127.0.0.1 with `events` events, written one per step.
class sse_engine {
public:
  sse_engine(boost::asio::io_context& io, step_clock& clock, unsigned events);
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

private:
  void accept();

  boost::asio::ip::tcp::acceptor acceptor_;
  step_clock& clock_;
  unsigned events_;
};

struct load_figures {
  std::uint64_t events = 0;
  std::uint64_t answers = 0;
  std::uint64_t bytes = 0;
  std::uint64_t failures = 0; ///< Connections that ended before their answer did.
};

/// `streams` closed loops of streamed completions against a port of 127.0.0.1, for so long.
[[nodiscard]] load_figures run_load(std::uint16_t port, const std::string& model, unsigned streams,
                                    std::chrono::duration<double> span);

} // namespace consort::bench
