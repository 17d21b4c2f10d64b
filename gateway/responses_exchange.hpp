// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An exchange that a chat is served through, and whose client gets a response: what goes through
/// it is turned from the one shape into the other. Errors are the same in both.

#include "gateway/http.hpp"
#include "gateway/responses_answer.hpp"

namespace consort::gateway {

class responses_exchange final : public exchange {
public:
  /// `out` must outlive it.
  responses_exchange(exchange& out, nlohmann::ordered_json echo)
      : out_(out), answer_(std::move(echo)) {}

  [[nodiscard]] boost::asio::any_io_executor executor() const override { return out_.executor(); }
  void on_gone(std::function<void(gone_reason)> callback) override {
    out_.on_gone(std::move(callback));
  }
  task<bool> respond(const http_response& answer) override;
  void begin_stream(http_response head) override { out_.begin_stream(std::move(head)); }
  task<bool> write(std::string_view piece) override;
  bool start_write(std::string& piece, std::function<void(bool)> done) override;
  task<bool> end_stream() override { return out_.end_stream(); }
  void cut() override { out_.cut(); }
  [[nodiscard]] bool answered() const override { return out_.answered(); }

private:
  exchange& out_;
  responses_answer answer_;
};

} // namespace consort::gateway
