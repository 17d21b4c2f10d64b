// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the agent holds of a session whose other end lives by itself: the link goes on until its
/// own operations are done, so that it can close politely after its session is gone.

#include "node/runtime.hpp"

namespace consort::node {

/// `Link` has submit, cancel, stats and capabilities as runtime_session has them, and close().
template <class Link>
class linked_session final : public runtime_session {
public:
  explicit linked_session(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~linked_session() override { link_->close(); }

  void submit(const attempt_id& attempt, attempt_body body,
              std::shared_ptr<attempt_sink> sink) override {
    link_->submit(attempt, std::move(body), std::move(sink));
  }
  void cancel(const attempt_id& attempt) override { link_->cancel(attempt); }
  [[nodiscard]] session_stats stats() const override { return link_->stats(); }
  [[nodiscard]] runtime_capabilities capabilities() const override { return link_->capabilities(); }

private:
  const std::shared_ptr<Link> link_;
};

} // namespace consort::node
