// SPDX-License-Identifier: Apache-2.0
#include "gateway/data_port_client.hpp"

#include "gateway/data_connection.hpp"
#include "messages/codec.hpp"

#include <boost/asio/post.hpp>

namespace consort::gateway {

namespace {

/// The request of one attempt, head and body in one piece.
result<std::vector<char>> render_request(const std::string& address, const ticket& permission,
                                         attempt_body body) {
  const auto payload = messages::encode(messages::attempt_open{permission, std::move(body)});
  if (!payload)
    return payload.failure();
  const std::string head = "POST /v1/attempts HTTP/1.1\r\nHost: " + address
                           + "\r\nContent-Type: application/vnd.consort.frames\r\nContent-Length: "
                           + std::to_string(messages::frame_header_bytes + payload->size())
                           + "\r\n\r\n";
  std::vector<char> out;
  out.reserve(head.size() + messages::frame_header_bytes + payload->size());
  out.assign(head.begin(), head.end());
  if (const auto added = messages::append_frame(out, messages::frame_kind::attempt_open, *payload);
      !added)
    return added.failure();
  return out;
}

/// What a caller holds: lets go of the connection when it goes.
class call_stream final : public attempt_stream {
public:
  call_stream(std::shared_ptr<data_pool> pool, std::shared_ptr<data_call> call)
      : pool_(std::move(pool)), call_(std::move(call)) {}
  ~call_stream() override {
    call_->mute();
    stop();
    if (pool_)
      pool_->release();
  }
  void cancel() override { stop(); }

private:
  void stop() {
    if (pool_ && !call_->ended())
      pool_->abandon(call_);
  }

  const std::shared_ptr<data_pool> pool_; ///< Null when nothing was begun.
  const std::shared_ptr<data_call> call_;
};

} // namespace

// --- the pool ---

data_pool::data_pool(boost::asio::io_context& on, std::string to,
                     std::shared_ptr<const links::credentials> with, limits::data_limit_set within)
    : io(on), address(std::move(to)), credentials(std::move(with)), limits(within) {}

void data_pool::dispatch(const std::shared_ptr<data_call>& call) {
  std::unique_lock lock(mutex);
  if (closed) {
    lock.unlock();
    return call->abort({recovery::retry_elsewhere, "data_link_lost", "this gateway is stopping"},
                       false);
  }
  while (!idle.empty()) {
    const auto one = idle.back().lock();
    idle.pop_back();
    if (!one)
      continue;
    ++reused;
    call->carried_by(one);
    return one->carry(call);
  }
  if (dialling < limits.dialling)
    dial(call);
  else
    waiting.push_back(call);
}

void data_pool::dial(const std::shared_ptr<data_call>& call) {
  ++dialled;
  ++dialling;
  const auto one = std::make_shared<data_connection>(shared_from_this());
  all.insert(one);
  call->carried_by(one);
  one->start(call);
}

std::shared_ptr<data_call> data_pool::next_waiting() {
  if (waiting.empty())
    return nullptr;
  auto next = std::move(waiting.front());
  waiting.pop_front();
  return next;
}

void data_pool::dialled_out(const std::optional<error>& failure) {
  calls failed;
  {
    const std::lock_guard lock(mutex);
    --dialling;
    if (failure)
      failed.swap(waiting);
    else if (const auto next = closed ? nullptr : next_waiting())
      dial(next);
  }
  for (const auto& call : failed)
    call->abort(*failure, true);
}

void data_pool::abandon(const std::shared_ptr<data_call>& call) {
  call->cancel();
  std::unique_lock lock(mutex);
  std::erase(waiting, call);
  const auto one = call->carrier();
  lock.unlock();
  if (one)
    return one->abandon(call);
  boost::asio::post(io, [call] {
    call->abort({recovery::refuse, "cancelled", "the attempt was cancelled"}, false);
  });
}

bool data_pool::keep(const std::shared_ptr<data_connection>& one) {
  const std::lock_guard lock(mutex);
  if (closed)
    return false;
  if (const auto next = next_waiting()) {
    ++reused;
    next->carried_by(one);
    one->carry(next);
    return true;
  }
  if (idle.size() >= limits.idle_connections)
    return false;
  idle.push_back(one);
  return true;
}

void data_pool::forget(const std::shared_ptr<data_connection>& one) {
  const std::lock_guard lock(mutex);
  all.erase(one);
  std::erase_if(idle, [&](const auto& kept) { return kept.lock() == one; });
}

bool data_pool::reserve() {
  const std::lock_guard lock(mutex);
  used_at = std::chrono::steady_clock::now();
  if (open >= limits.open)
    return false;
  ++open;
  return true;
}

void data_pool::release() {
  const std::lock_guard lock(mutex);
  --open;
  used_at = std::chrono::steady_clock::now();
}

void data_pool::close() {
  decltype(all) cutting;
  calls ending;
  {
    const std::lock_guard lock(mutex);
    closed = true;
    cutting = all;
    ending.swap(waiting);
  }
  for (const auto& call : ending)
    call->abort({recovery::retry_elsewhere, "data_link_lost", "this gateway let go of it"}, false);
  for (const auto& ref : cutting)
    if (const auto one = ref.lock())
      one->cut();
}

// --- the client ---

data_port_client::data_port_client(boost::asio::io_context& io, std::string address,
                                   std::shared_ptr<const links::credentials> credentials,
                                   limits::data_limit_set limits)
    : pool_(std::make_shared<data_pool>(io, std::move(address), std::move(credentials), limits)) {}

data_port_client::~data_port_client() {
  pool_->close();
}

std::unique_ptr<attempt_stream> data_port_client::open(const ticket& permission, attempt_body body,
                                                       std::shared_ptr<attempt_sink> sink) {
  auto request = render_request(pool_->address, permission, std::move(body));
  const bool begun = request && pool_->reserve();
  const auto call = std::make_shared<data_call>(
      permission.node, request ? *std::move(request) : std::vector<char>(), std::move(sink));
  if (!begun) {
    const error busy{recovery::retry_later, "data_port_busy",
                     "as many attempts as may be are open at " + pool_->address};
    call->refuse(request ? busy : request.failure());
    return std::make_unique<call_stream>(nullptr, call);
  }
  pool_->dispatch(call);
  return std::make_unique<call_stream>(pool_, call);
}

data_client_counters data_port_client::counters() const {
  const std::lock_guard lock(pool_->mutex);
  return {pool_->dialled, pool_->reused, pool_->idle.size(), pool_->open};
}

bool data_port_client::idle_for(duration_us span) const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->open == 0
         && std::chrono::steady_clock::now() - pool_->used_at >= std::chrono::microseconds(span);
}

} // namespace consort::gateway
