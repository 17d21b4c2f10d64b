// SPDX-License-Identifier: Apache-2.0
// The life of a connection to a data port; what its answers mean is in data_answer.cpp.
#include "gateway/data_connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

namespace consort::gateway {

namespace asio = boost::asio;
using boost::system::error_code;
using links::as_values;
using links::task;

namespace {

error unreachable(const std::string& address, const std::string& why) {
  return {recovery::retry_elsewhere, "node_unreachable",
          "the data port " + address + " cannot be reached: " + why};
}

error link_lost(const std::string& address, const std::string& why) {
  return {recovery::retry_elsewhere, "data_link_lost",
          "the connection to the data port " + address + " was lost: " + why};
}

} // namespace

data_connection::data_connection(std::shared_ptr<data_pool> pool)
    : pool_(std::move(pool)),
      stream_(asio::ip::tcp::socket(asio::make_strand(pool_->io))),
      names_(stream_.get_executor()),
      deadline_(stream_.get_executor(), [this] { out_of_time(); }) {}

void data_connection::out_of_time() {
  if (phase_ != phase::connecting)
    return lost(link_lost(pool_->address, "no answer in time"), true);
  late_ = unreachable(pool_->address, "no answer in time");
  lost(*late_, true);
}

void data_connection::start(std::shared_ptr<data_call> call) {
  call_ = std::move(call);
  // Posted, since co_spawn may begin at once and the pool's lock is held.
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    asio::co_spawn(
        self->stream_.get_executor(), [self] { return self->run(); },
        [self](const std::exception_ptr& thrown) {
          if (thrown) // A defect, or no memory: it costs this attempt, not the node's pool.
            self->lost(link_lost(self->pool_->address, "it ended by an exception"), false);
        });
  });
}

task<void> data_connection::run() {
  auto failed = co_await connect();
  if (phase_ == phase::ended) { // Late, or nobody wants it any more.
    stream_.cut();              // A step that had ended already may have gone on.
    pool_->dialled_out(late_);
    co_return;
  }
  pool_->dialled_out(failed);
  if (failed) {
    lost(*failed, true);
    co_return;
  }
  phase_ = phase::idle;
  if (call_ && !call_->cancelled())
    begin();
  else
    finish_exchange();
  while (phase_ != phase::ended) {
    const auto into = buffer_.prepare(limits::data_read_bytes);
    const auto [broken, size] = co_await stream_.async_read_some(into, as_values);
    if (broken) {
      lost(link_lost(pool_->address, broken.message()), true);
      break;
    }
    buffer_.commit(size);
    const auto broken_behind = read_ready();
    const auto arrived = static_cast<const char*>(buffer_.data().data());
    buffer_.consume(consume({arrived, buffer_.size()}));
    if (broken_behind && phase_ != phase::ended)
      lost(link_lost(pool_->address, broken_behind.message()), true);
  }
}

/// Takes what came with the piece just read, so that several tokens make one wake-up of their
/// request and one write to its client. Returns: why nothing will follow.
error_code data_connection::read_ready() {
  while (buffer_.size() < limits::data_read_bytes) {
    const auto [failed, size]
        = stream_.read_ready(buffer_.prepare(limits::data_read_bytes - buffer_.size()));
    buffer_.commit(size);
    if (failed || size == 0)
      return failed;
  }
  return {};
}

// --- connecting ---

task<std::optional<error>> data_connection::connect() {
  const auto target = links::parse_address(pool_->address);
  if (!target)
    co_return target.failure();
  if (!pool_->credentials && !links::stays_on_loopback(target->host))
    co_return error{recovery::retry_elsewhere, "address_unprotected",
                    "the data port " + pool_->address
                        + " is not on this machine and there are no certificates"};
  deadline_.set(pool_->limits.resolve);
  const auto found = co_await names_.find(target->host, target->port);
  if (found.failed)
    co_return unreachable(pool_->address, found.failed.message());
  deadline_.set(pool_->limits.connect);
  const auto [refused, at] = co_await asio::async_connect(stream_.socket(), found.ends, as_values);
  if (refused)
    co_return unreachable(pool_->address, refused.message());
  stream_.hurry();
  auto stranger = co_await greet();
  deadline_.clear();
  co_return stranger;
}

task<std::optional<error>> data_connection::greet() {
  if (!pool_->credentials)
    co_return std::nullopt;
  deadline_.set(pool_->limits.handshake);
  auto peer = co_await stream_.greet(*pool_->credentials, asio::ssl::stream_base::client);
  if (!peer && peer.failure().code == "tls_failed")
    co_return unreachable(pool_->address, peer.failure().message);
  if (!peer)
    co_return error{recovery::retry_elsewhere, peer.failure().code, peer.failure().message};
  peer_ = std::move(*peer);
  co_return std::nullopt;
}

// --- calls ---

void data_connection::carry(std::shared_ptr<data_call> call) {
  asio::post(stream_.get_executor(), [self = shared_from_this(), call = std::move(call)]() mutable {
    // Nothing of it was sent yet: another connection may do it.
    if (self->phase_ == phase::ended)
      return self->pool_->dispatch(call);
    self->call_ = std::move(call);
    if (self->call_->cancelled())
      return self->finish_exchange();
    self->begin();
  });
}

/// Whether the node at the other end is the one that the ticket names.
bool data_connection::check_peer() {
  if (!peer_ || (peer_->role == links::peer_role::node && peer_->name == call_->node().value))
    return true;
  lost({recovery::retry_elsewhere, "wrong_node",
        "at " + pool_->address + " is the " + std::string(links::name_of(peer_->role)) + " "
            + peer_->name + ", not the node " + call_->node().value},
       true);
  return false;
}

void data_connection::begin() {
  if (!check_peer())
    return;
  phase_ = phase::head;
  head_.emplace();
  head_->header_limit(static_cast<std::uint32_t>(limits::data_head_bytes_max));
  head_->body_limit(boost::none);
  chunks_ = {};
  frames_ = messages::frame_reader([](messages::frame_kind kind, std::size_t) {
    return kind == messages::frame_kind::attempt_event
               ? std::optional<error>()
               : error{recovery::refuse, "wrong_kind", "a data port sends attempt events only"};
  });
  refusal_.clear();
  keep_alive_ = true;
  sent_ = 0;
  stream_.keep_buffers(true); // Until it is idle again.
  deadline_.set(pool_->limits.answer);
  send_rest();
}

void data_connection::send_rest() {
  const auto& request = call_->request();
  if (sent_ == request.size()) {
    call_->request() = {};
    return;
  }
  writing_ = true;
  // The call holds the bytes.
  stream_.async_write_some(
      asio::buffer(request.data() + sent_, request.size() - sent_),
      [self = shared_from_this(), call = call_](error_code failed, std::size_t size) {
        self->wrote(*call, failed, size);
      });
}

void data_connection::wrote(const data_call& call, error_code failed, std::size_t size) {
  writing_ = false;
  if (phase_ == phase::ended)
    return;
  if (failed)
    return lost(link_lost(pool_->address, failed.message()), true);
  sent_ += size;
  if (call_)
    return send_rest();
  // The whole answer was heard of first.
  if (sent_ == call.request().size())
    keep();
  else
    end();
}

void data_connection::abandon(std::shared_ptr<data_call> call) {
  asio::post(stream_.get_executor(), [self = shared_from_this(), call = std::move(call)] {
    if (self->call_ == call && !call->ended())
      self->end(); // The node notices and stops the engine.
    call->abort({recovery::refuse, "cancelled", "the attempt was cancelled"}, false);
  });
}

/// The answer is whole: back to the pool.
void data_connection::finish_exchange() {
  call_.reset();
  if (!keep_alive_)
    return end();
  phase_ = phase::idle;
  if (!writing_)
    keep();
}

void data_connection::keep() {
  stream_.keep_buffers(false);
  deadline_.set(pool_->limits.idle);
  if (!pool_->keep(shared_from_this()))
    end();
}

// --- the end ---

void data_connection::cut() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->lost(link_lost(self->pool_->address, "this gateway let go of it"), false);
  });
}

void data_connection::lost(const error& why, bool device_fault) {
  const auto call = call_;
  end();
  if (call)
    call->abort(why, device_fault);
}

void data_connection::end() {
  if (phase_ == phase::ended)
    return;
  phase_ = phase::ended;
  deadline_.stop();
  names_.cancel();
  stream_.cut();
  call_.reset();
  pool_->forget(shared_from_this());
}

} // namespace consort::gateway
