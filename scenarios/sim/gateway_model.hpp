// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A simulated gateway with its clients: submits requests, opens tickets at nodes, hands tokens to
/// clients, reports attempts, resumes on further tickets with what was already emitted. It drops
/// frames of any attempt but the current one, and of a hedge beside it keeps whichever brings a
/// token first, as the production gateway does. Single-threaded.

#include "messages/codec.hpp"
#include "scenarios/sim/client_port.hpp"
#include "scenarios/sim/network.hpp"
#include "scenarios/sim/observer.hpp"

#include <map>
#include <unordered_map>

namespace consort::sim {

class gateway_model : public network_peer, public client_port {
public:
  gateway_model(event_heap& heap, network& links, const observer_list& watchers);

  /// Where a node's name is reached. Requires: called for every node before it gets work.
  void know_node(const node_id& node, address at) { addresses_[node.value] = at; }
  request_id submit(request_meta meta, std::uint32_t output_tokens, client_prompt prompt = {},
                    const std::function<void(const request_id&)>& known = {}) override;
  void leave(const request_id& request) override;
  /// The next request to get a ticket is forgotten: its client hears nothing more.
  void forget_one() { ++forgetting_; }

  /// A fresh link to the scheduler: tells of every request that it still has.
  void reconnect();
  [[nodiscard]] static gateway_id id() { return gateway_id{0x51}; }

  [[nodiscard]] std::size_t live() const { return requests_.size(); }
  /// What a frame could not be decoded for.
  [[nodiscard]] const std::optional<std::string>& broken() const { return broken_; }

  void on_frame(address from, channel stream, const messages::frame& received) override;
  void on_parcel(address from, channel stream, const parcel& received) override;
  void on_closed(address from, channel stream) override;

private:
  struct running_attempt {
    ticket current; ///< Number 0 = no attempt now.
    channel stream = control_channel;
    bool opened = false;
    time_us granted_at = 0;
    std::optional<time_us> first_token_at;
    time_us progress_at = 0; ///< Of the last report.
  };
  struct request : running_attempt {
    request_meta meta;
    std::uint32_t output_tokens = 0;
    client_prompt prompt;
    time_us submitted_at = 0;
    std::uint32_t attempts = 0; ///< Tickets that it got.
    std::vector<std::int32_t> token_ids;
    std::optional<running_attempt> hedge; ///< Beside the current one, until either brings a token.
  };

  void tell(core::event happened);
  void obey(const core::command& wanted);
  void begin(request& one, running_attempt& seat, const ticket& permission);
  void open(const request& one, const running_attempt& seat, messages::attempt_open opening);
  void on(const core::grant_ticket& granted);
  void on(const core::drop_attempt& dropped);
  void on(const core::reject_request& rejected);
  void on(const core::record_request& record);
  void on_stream(channel stream, const attempt_event& happened);
  void on_hedge(request& one, const attempt_event& happened);
  void on_attempt(request& one, const attempt_event& happened);
  void on_tokens(request& one, const attempt_tokens& tokens);
  void on_completed(request& one, const attempt_completed& completed);
  void fail_attempt(request& one, error failure, bool device_fault);
  void fail_hedge(request& one, error failure, bool device_fault);
  void close(running_attempt& seat);
  void end_attempt(request& one);
  void end_all(request& one);
  void answer(const request_id& id, request_outcome outcome, const std::string& code);
  void time_out_open(const attempt_id& attempt);
  request* by_stream(channel stream);

  event_heap& heap_;
  network& links_;
  const observer_list& watchers_;
  std::unordered_map<std::string, address> addresses_; ///< By node. Looked up, never walked.
  std::map<request_id, request> requests_;             ///< Live ones.
  std::unordered_map<channel, request*> streams_;      ///< Open ones, of live requests. Looked up,
                                                       ///< never walked.
  gateway_id id_ = id();
  std::uint64_t submitted_ = 0;
  channel last_stream_ = control_channel;
  std::uint64_t sequence_ = 0;
  std::uint32_t forgetting_ = 0;
  bool linked_ = true; ///< To the scheduler.
  std::optional<std::string> broken_;
};

} // namespace consort::sim
