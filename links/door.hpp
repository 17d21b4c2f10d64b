// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One accepted connection on its way to being a link: first bytes, TLS, certificate, hello, each
/// under a deadline. Runs as one coroutine on its own strand and reports once. Private to links/.

#include "links/credentials.hpp"
#include "links/holds.hpp"
#include "links/link_core.hpp"
#include "links/task.hpp"
#include "links/turnstile.hpp"

namespace consort::links {

/// What doors of one guard share; outlives them.
struct door_rules {
  door_rules(const boost::asio::any_io_executor& on, std::shared_ptr<const links::credentials> own,
             std::string of_cluster, std::string token, incarnation self,
             const limits::limit_set& within)
      : credentials(std::move(own)),
        cluster(std::move(of_cluster)),
        join_token(std::move(token)),
        life(self),
        limits(within),
        turns(std::make_shared<turnstile>(on, within)),
        known(std::make_shared<holds>(within)) {}

  std::shared_ptr<const links::credentials> credentials; ///< Null = no TLS.
  std::string cluster;
  std::string join_token;
  incarnation life;
  limits::limit_set limits;
  std::shared_ptr<turnstile> turns; ///< Of handshakes.
  std::shared_ptr<holds> known;     ///< Who is held off.
};

/// How it ended: a link and the hello that it began with, or a refusal.
struct door_outcome {
  std::shared_ptr<link_core> core; ///< Null when refused.
  messages::frame hello;
  error refusal;
  std::int64_t failures = 1; ///< What a refused one counts as, of its address.
};

class door : public std::enable_shared_from_this<door> {
public:
  /// `socket` is on a strand of its own; `key` is what its address counts as.
  door(channel::tcp::socket socket, std::string address, std::string key,
       std::shared_ptr<const door_rules> rules);

  /// Takes its course; `report` is called once, on the strand. Call once, from any thread.
  void run(std::function<void(door_outcome)> report);
  /// Ends it: the report comes soon, and is a refusal. Thread-safe.
  void cut();

private:
  task<door_outcome> pass();
  task<std::optional<error>> open();
  [[nodiscard]] task<bool> wait_turn();
  task<std::optional<error>> shake_hands();
  [[nodiscard]] result<peer_identity> judge(const messages::frame& hello);
  task<result<messages::frame>> hear_hello();
  task<void> refuse(const error& why);
  void limit(duration_us span);
  void end();
  [[nodiscard]] error lost(const char* late, boost::system::error_code failed) const;

  channel stream_;
  const std::string address_;
  const std::string key_;
  std::shared_ptr<const door_rules> rules_;
  std::unique_ptr<session> session_;
  std::shared_ptr<hello_rules> hello_rules_;
  bool speaks_ = false; ///< An answer would be read: TLS, where there is any, is done.
  time_limit limit_;
  boost::asio::steady_timer called_; ///< When its turn has come.
  std::unique_ptr<turnstile::turn> turn_;
  bool costly_ = false; ///< A handshake was answered, and failed.
};

} // namespace consort::links
