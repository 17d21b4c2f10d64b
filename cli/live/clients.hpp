// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The clients of a rehearsal: each request is an OpenAI completion over HTTP with a stream of
/// events back, on a connection of its own, as any client of the real gateway sends it. What they
/// see goes to the same observers as a simulated run's. Prompts are made up, with as many tokens as
/// the workload says by the gateway's own estimate, equal beginnings where it says so. Owned by the
/// rehearsal, on its one thread.

#include "cli/live/http.hpp"
#include "scenarios/sim/client_port.hpp"
#include "scenarios/sim/observer.hpp"

#include <boost/asio/io_context.hpp>

#include <map>
#include <memory>

namespace consort::live {

/// What of a finished request only the gateway knows.
struct served_note {
  std::string device; ///< Of its last attempt.
  std::uint32_t attempts = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;
};

class clients final : public sim::client_port {
public:
  /// `clock` is the run's axis. All that it is given outlives it.
  clients(boost::asio::io_context& io, const sim::observer_list& watchers,
          std::function<time_us()> clock);
  ~clients() override;

  /// Where the gateway listens.
  void ask_at(port_number gateway) { gateway_ = gateway; }

  request_id submit(request_meta meta, std::uint32_t output_tokens, sim::client_prompt prompt,
                    const std::function<void(const request_id&)>& known) override;
  void leave(const request_id& request) override;
  /// Every client still waiting gives up; what they were told counts as their end.
  void leave_all(const std::string& code);

  [[nodiscard]] std::size_t live() const { return live_.size(); }
  /// By request, as far as it was told.
  [[nodiscard]] const std::map<std::string, served_note>& served() const { return served_; }

private:
  struct exchange;
  task<void> run(std::shared_ptr<exchange> one);
  void answer(exchange& one, request_outcome outcome, const std::string& code);

  boost::asio::io_context& io_;
  const sim::observer_list& watchers_;
  std::function<time_us()> clock_;
  port_number gateway_ = 0;
  std::uint64_t submitted_ = 0;
  std::map<request_id, std::shared_ptr<exchange>> live_;
  std::map<std::string, served_note> served_;
};

/// The prompt of a request: `tokens` tokens by the gateway's estimate. Requests without a common
/// prefix have none in common.
[[nodiscard]] std::string prompt_of(const std::string& request, std::uint32_t tokens,
                                    const sim::client_prompt& known);
/// Places of the tokens in a piece of simulated text (node/simulated/request.hpp); -1 for what is
/// none.
[[nodiscard]] std::vector<std::int32_t> token_places(std::string_view text);

} // namespace consort::live
