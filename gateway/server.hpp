// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The HTTP gateway: OpenAI routes, admin API, metrics. One object listens on one address and runs
/// on an io_context that the caller runs on as many threads as it likes (each connection has a
/// strand of its own). It owns request bodies and emitted text; the scheduler sees metadata only.

#include "gateway/limits.hpp"
#include "gateway/scheduler_port.hpp"
#include "messages/attempt_service.hpp"

#include <functional>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace consort::links {
struct held_peer;
}

namespace consort::gateway {

class decision_times;
struct process_figure;

/// Looks into the files of a declared model and says what they are. Called on a thread of its own,
/// one call at a time; may take minutes. Ends soon once the process stops.
using model_describer = std::function<result<model_spec>(model_spec declared)>;

/// Where to listen and what to allow.
struct server_config {
  std::string host = "127.0.0.1"; ///< An address, or `localhost`.
  std::uint16_t port = 8080;      ///< 0 = any free one.
  bool insecure = false; ///< Allows an address that others can reach although nothing checks keys.
  duration_us queue_timeout_us
      = 60
        * limits::second_us; ///< The scheduler's; a request without X-Consort-Wait waits so long.
  limits::limit_set limits;
  model_describer describe;                        ///< Empty: this gateway adds no models.
  std::shared_ptr<const decision_times> decisions; ///< Of a scheduler in this process; else null.
  /// Figures of other parts of this process for `/metrics`; asked at each scrape, may be empty.
  std::function<std::vector<process_figure>()> figures;
  /// Names that the link guard of this process holds off; empty where there is none.
  std::function<std::vector<links::held_peer>()> held_off;
  /// Names of this gateway in the public name service, as a proxy before it keeps them: pages there
  /// may command the cluster.
  std::vector<std::string> sites;
};

/// Finds the data port of a ticket's node; null when it cannot be reached. Called on any thread;
/// the service must outlive the server. In one process it returns the only service.
using attempt_resolver = std::function<attempt_service*(const ticket&)>;

class server {
public:
  /// Binds and starts to accept. `io`, `port` and the resolver's services must outlive the server,
  /// and `io` must no longer run when the server is destroyed, unless stop() has called back.
  /// Returns: an error that says what to do, e.g. code `port_in_use` naming who has the port.
  static result<std::unique_ptr<server>> start(boost::asio::io_context& io, server_config config,
                                               scheduler_port& port, attempt_resolver resolve);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// The port really bound.
  [[nodiscard]] std::uint16_t port() const;
  /// `http://host:port`, ready to paste.
  [[nodiscard]] std::string url() const;

  /// Stops accepting, lets streams finish for `limits.drain`, then ends the rest with an error.
  /// Thread-safe. `stopped` is called once, on an io thread, when the last connection is gone;
  /// within drain + stop_grace.
  void stop(std::function<void()> stopped);
  /// As stop(), without the drain: a second signal. Thread-safe; also hurries a stop under way.
  void stop_now();

private:
  struct state;
  explicit server(std::shared_ptr<state> shared);
  std::shared_ptr<state> state_;
};

} // namespace consort::gateway
