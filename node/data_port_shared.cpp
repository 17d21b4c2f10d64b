// SPDX-License-Identifier: Apache-2.0
#include "node/data_port_shared.hpp"

#include "links/channel.hpp"
#include "links/log.hpp"

#include <algorithm>

namespace consort::node {

pacer::clock::time_point pacer::reserve(std::size_t bytes) {
  const auto span = std::chrono::microseconds(bytes * 1'000'000 / bytes_per_s_);
  const std::lock_guard lock(mutex_);
  const auto begin = std::max(next_, clock::now());
  next_ = begin + span;
  return begin;
}

std::unique_ptr<attempt_stream> data_port_shared::open(const ticket& permission, attempt_body body,
                                                       std::shared_ptr<attempt_sink> sink) {
  const std::shared_lock lock(gate_);
  return attempts_ == nullptr ? nullptr
                              : attempts_->open(permission, std::move(body), std::move(sink));
}

result<held_artifact> data_port_shared::hold(const digest& content) {
  const std::shared_lock lock(gate_);
  if (artifacts_ == nullptr)
    return error{recovery::retry_elsewhere, "shutting_down", "this node is stopping"};
  return artifacts_->hold(content);
}

void data_port_shared::stop() {
  {
    const std::unique_lock lock(gate_);
    attempts_ = nullptr;
    artifacts_ = nullptr;
  }
  disk.stop();
}

void data_port_shared::refused(const std::string& code) {
  const std::lock_guard lock(counting_);
  ++refused_[code];
}

void data_port_shared::complain(const std::string& address, const std::string& code,
                                const std::string& message) {
  const auto left_out = [&] {
    const std::lock_guard lock(counting_);
    return quiet_.may_log(address, links::steady_now_us());
  }();
  if (left_out)
    links::log().warn("data port refuses {}: {} ({}); {} more since the last such line", address,
                      message, code, *left_out);
}

data_port_counters data_port_shared::counted() const {
  data_port_counters out;
  out.accepted = accepted;
  out.attempts = attempts;
  out.frames = frames;
  out.overflowed = overflowed;
  out.abandoned = abandoned;
  out.artifact_bytes = artifact_bytes;
  out.connections = connections;
  out.attempts_open = attempts_open;
  const std::lock_guard lock(counting_);
  out.refused = refused_;
  return out;
}

} // namespace consort::node
