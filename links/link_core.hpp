// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a link does: its channel, session, queue and timers. Private to links/; others hold a
/// `link`. Unless said otherwise, members run on the channel's strand.

#include "links/channel.hpp"
#include "links/link.hpp"
#include "links/session.hpp"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <mutex>

namespace consort::links {

/// For whoever made the link. Set before the link is handed out; run on the strand.
struct link_hooks {
  /// Each frame, before its user gets it.
  std::function<void(const messages::frame&)> on_frame;
  /// After on_closed; also when nobody ever started the link.
  std::function<void(const error&)> on_ended;
  /// Asked at every tick: has the peer's certificate been revoked?
  std::function<bool()> revoked;
};

class link_core : public std::enable_shared_from_this<link_core> {
public:
  struct parts {
    channel stream;
    std::unique_ptr<links::session> session;
    std::shared_ptr<const hello_rules> rules; ///< Kept for the session; null at the dialling end.
    peer_identity peer;
    std::string address;
    limits::limit_set limits;
  };
  explicit link_core(parts made);

  // On any thread.
  void start(link_callbacks callbacks);
  bool send(const messages::frame& outgoing);
  void close(const error& why);
  /// Like close(), but at once.
  void cut(const error& why);
  /// Its last holder went: ends it if nobody started it.
  void release();
  frame_hold hold();

  const peer_identity peer;
  const std::string address;
  link_hooks hooks;

private:
  /// Apart from the link, which may end before the last frame was worked on.
  struct hold_count {
    std::atomic<std::size_t> count{0};
    std::size_t few = 0; ///< Then reading goes on.
    std::weak_ptr<link_core> link;
  };

  template <class Action>
  void post(Action action);

  void begin(link_callbacks callbacks);
  void read();
  void did_read(boost::system::error_code failed, std::size_t bytes);
  void hand_on();
  void pause_reading(duration_us span);
  bool crowded() const { return held_->count >= limits_.held_frames; }
  void resume_reading();

  void enqueue(const std::vector<char>& bytes);
  void flush();
  void write_more();
  void wrote(boost::system::error_code failed, std::size_t bytes);
  void drained();
  void say_goodbye();

  void arm_tick();
  void ticked();
  void finish(const error& why);
  bool closing();

  channel stream_;
  std::unique_ptr<session> session_;
  std::shared_ptr<const hello_rules> rules_;
  limits::limit_set limits_;
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer pauser_; ///< Of reading; later, of closing.
  link_callbacks callbacks_;
  std::shared_ptr<hold_count> held_ = std::make_shared<hold_count>();
  bool started_ = false;
  bool reading_ = false;
  bool crowded_out_ = false; ///< Reading waits for holds to go.
  bool leaving_ = false;     ///< The time for last words runs.
  std::optional<error> ended_;
  std::vector<char> input_;
  std::vector<char> output_; ///< Being written.
  std::size_t output_sent_ = 0;
  std::size_t output_frames_ = 0;

  std::mutex mutex_; ///< Of what follows.
  std::vector<char> queue_;
  std::size_t queue_frames_ = 0;
  std::size_t unsent_bytes_ = 0; ///< Of queue and output.
  std::size_t unsent_frames_ = 0;
  bool flushing_ = false; ///< A flush is posted or under way.
  std::optional<error> closing_;
};

} // namespace consort::links
