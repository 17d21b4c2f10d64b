// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A scheduler that grants every request at once and keeps no record, so that what it holds does
/// not grow: for measuring the gateway and what lies behind it. Thread-safe.

#include "tests/support/fake_scheduler_port.hpp"

#include <string>

namespace consort::bench {

class instant_port final : public gateway::scheduler_port {
public:
  /// Tickets name that data port; empty = none.
  explicit instant_port(std::string data_address = {}) : data_address_(std::move(data_address)) {}

  [[nodiscard]] gateway_id id() const override { return gateway_id(1); }
  void submit(request_meta meta, std::shared_ptr<gateway::request_listener> listener) override {
    listener->on_ticket(grant(meta));
  }
  void report(gateway::gateway_report) override {}
  void admin(gateway::admin_request,
             std::function<void(result<gateway::admin_taken>)> answer) override {
    answer(gateway::admin_taken{});
  }
  void snapshot(std::function<void(result<core::snapshot>)> answer) override {
    answer(core::snapshot{});
  }
  void requests(core::requests_wish,
                std::function<void(result<core::snapshot_page>)> answer) override {
    answer(core::snapshot_page{});
  }
  void explain(std::string, std::function<void(result<core::explanation>)> answer) override {
    answer(core::explanation{});
  }
  void explain(request_meta, std::function<void(result<core::explanation>)> answer) override {
    answer(core::explanation{});
  }
  void plan(core::plan_wish, std::function<void(result<core::explanation>)> answer) override {
    answer(core::explanation{});
  }
  void reload_plugins(node_id, duration_us,
                      std::function<void(result<gateway::reload_reports>)> answer) override {
    answer(gateway::reload_reports{});
  }
  void list_plugins(node_id, duration_us,
                    std::function<void(result<gateway::plugins_reports>)> answer) override {
    answer(gateway::plugins_reports{});
  }
  void subscribe(std::function<void(const core::command&)>) override {}

private:
  [[nodiscard]] core::grant_ticket grant(const request_meta& meta) const {
    auto out = testing::make_grant(meta);
    out.granted.data_address = data_address_;
    return out;
  }

  const std::string data_address_;
};

} // namespace consort::bench
