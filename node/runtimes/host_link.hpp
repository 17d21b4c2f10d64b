// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One session's side of the host protocol: spawns the host process, opens the model, carries
/// attempts over and events back, reads counters, and decides when the host has to die. Kept alive
/// by its own pending operations until the process is gone. Public functions are thread-safe, all
/// state lives on one strand of the io_context.
///
/// A host that exits, closes its socket, breaks the protocol, leaves a cancel or its counters
/// unanswered too long, or does not open in time is killed; then the attempts end with
/// `runtime_died` and `died` is called. The host's data is read to its end first, so what it said
/// before a crash still counts.

#include "messages/codec.hpp"
#include "node/runtimes/attempt_table.hpp"
#include "node/runtimes/host_log.hpp"
#include "node/runtimes/host_process.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <array>

namespace consort::node {

class host_link : public std::enable_shared_from_this<host_link> {
public:
  using opened_handler = std::function<void(result<std::shared_ptr<runtime_session>>)>;
  using died_handler = std::function<void(error)>;

  host_link(boost::asio::io_context& io, std::shared_ptr<const c_abi_options> options,
            session_request wanted, opened_handler opened, died_handler died);

  void start();
  void submit(const attempt_id& attempt, attempt_body body, std::shared_ptr<attempt_sink> sink);
  void cancel(const attempt_id& attempt);
  /// The session is destroyed: ends its attempts, asks the host to close, kills it after the grace.
  void close();
  /// The runtime is destroyed: kills and reaps before it returns; needs no running io_context.
  void abandon();
  [[nodiscard]] session_stats stats() const;
  [[nodiscard]] const runtime_capabilities& capabilities() const { return options_->capabilities; }

private:
  using bytes = std::vector<char>;

  // Life of the process.
  void spawn();
  [[nodiscard]] result<std::string> open_config() const;
  void kill(const std::string& why, std::string code = "runtime_died");
  void ended_part(bool& part);
  void conclude();
  void conclude_open(result<std::shared_ptr<runtime_session>> outcome);
  [[nodiscard]] error death() const;

  // Bytes.
  void read_socket();
  void read_log();
  void take_frames();
  [[nodiscard]] result<done> send(const messages::host_command& command, bool bounded = false);
  void write_queued();

  // What the host says. Each returns why it cannot be true.
  [[nodiscard]] result<done> on(messages::host_opened report);
  [[nodiscard]] result<done> on(messages::host_open_failed report);
  [[nodiscard]] result<done> on(messages::host_event report);
  [[nodiscard]] result<done> on(messages::host_stats report);

  // Clocks.
  void watch_cancels();
  void tick_stats();
  template <class Action>
  void after(boost::asio::steady_timer& timer, duration_us span, Action action);
  template <class Action>
  void on_strand(Action action);

  enum class phase { spawning, loading, measuring, open, closing, dying, dead };

  const std::shared_ptr<const c_abi_options> options_;
  const session_request wanted_;
  opened_handler opened_;
  died_handler died_;
  boost::asio::strand<boost::asio::io_context::executor_type> strand_;
  boost::asio::local::stream_protocol::socket socket_;
  boost::asio::posix::stream_descriptor log_pipe_, exit_;
  boost::asio::steady_timer life_timer_, cancel_timer_, stats_timer_;

  phase phase_ = phase::spawning;
  attempt_table attempts_;
  host_log log_;
  messages::frame_reader reader_;
  std::array<char, limits::read_chunk_bytes> read_buffer_;
  std::array<char, 4'096> log_buffer_;
  bytes queued_, leaving_;
  bool writing_ = false;
  bool cancel_watched_ = false;
  bool exited_ = false, socket_ended_ = false, log_ended_ = false;
  std::optional<error> cause_; ///< Why the host had to die, or could not open.
  std::uint64_t stats_number_ = 0;
  std::optional<time_us> stats_asked_at_;

  mutable std::mutex process_mutex_;
  std::unique_ptr<host_process> process_;
  bool abandoned_ = false;
  mutable std::mutex stats_mutex_;
  session_stats stats_;
  time_us stats_read_at_ = 0;
};

} // namespace consort::node
