// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/sse_load.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstdio>
#include <deque>
#include <istream>
#include <string_view>

namespace consort::bench {

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::string_view answer_head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                         "Transfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view answer_end = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
constexpr std::string_view last_chunk = "\r\n0\r\n\r\n";
constexpr std::string_view event_mark = "data: ";

/// As long as what the gateway sends for a token.
std::string one_event() {
  const std::string event = R"(data: {"id":"cmpl-0123456789abcdef","object":"text_completion",)"
                            R"("created":1764000000,"model":"storyteller-5m-f16","choices":[)"
                            R"({"text":" token","index":0,"logprobs":null,"finish_reason":null}]})"
                            "\n\n";
  std::array<char, 16> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", event.size());
  return size.data() + event + "\r\n";
}

/// One connection of the engine: a request, its events, the next request.
class sse_session : public std::enable_shared_from_this<sse_session> {
public:
  sse_session(tcp::socket socket, step_clock& clock, unsigned events)
      : socket_(std::move(socket)), clock_(clock), events_(events), event_(one_event()) {}

  void read_request() {
    asio::async_read_until(socket_, input_, "\r\n\r\n",
                           [self = shared_from_this()](error_code failed, std::size_t) {
                             if (!failed)
                               self->skip_body();
                           });
  }

private:
  /// The head says how long the body is; what is missing of it is read and forgotten.
  void skip_body() {
    std::istream head(&input_);
    std::string line;
    std::size_t length = 0;
    while (std::getline(head, line) && line != "\r")
      if (line.size() > 16 && (line[0] == 'C' || line[0] == 'c')
          && (line[8] == 'L' || line[8] == 'l'))
        length = std::stoul(line.substr(line.find(':') + 1));
    const auto missing = length > input_.size() ? length - input_.size() : 0;
    asio::async_read(socket_, input_, asio::transfer_exactly(missing),
                     [self = shared_from_this(), length](error_code failed, std::size_t) {
                       if (failed)
                         return;
                       self->input_.consume(length);
                       self->answer();
                     });
  }

  void answer() {
    left_ = events_;
    send(answer_head);
    clock_.subscribe([self = shared_from_this()] { return self->step(); });
  }

  bool step() {
    if (!socket_.is_open())
      return false;
    if (left_-- > 0) {
      send(event_);
      return true;
    }
    send(answer_end);
    read_request();
    return false;
  }

  /// Writes at once what the kernel takes, and the rest when it takes more.
  void send(std::string_view text) {
    if (unsent_.empty()) {
      error_code failed;
      const auto sent = socket_.write_some(asio::buffer(text), failed);
      if (failed && failed != asio::error::would_block)
        return stop();
      text.remove_prefix(failed ? 0 : sent);
      if (text.empty())
        return;
    }
    unsent_.emplace_back(text);
    if (unsent_.size() == 1)
      send_rest();
  }
  void send_rest() {
    asio::async_write(socket_, asio::buffer(unsent_.front()),
                      [self = shared_from_this()](error_code failed, std::size_t) {
                        if (failed)
                          return self->stop();
                        self->unsent_.pop_front();
                        if (!self->unsent_.empty())
                          self->send_rest();
                      });
  }
  void stop() {
    error_code ignored;
    socket_.close(ignored);
  }

  tcp::socket socket_;
  step_clock& clock_;
  unsigned events_;
  std::string event_;
  asio::streambuf input_;
  std::deque<std::string> unsent_;
  unsigned left_ = 0;
};

/// One closed loop: a request, its whole stream, the next request.
class sse_client : public std::enable_shared_from_this<sse_client> {
public:
  sse_client(asio::io_context& io, std::uint16_t port, const std::string& model,
             load_figures& figures)
      : socket_(io), to_(asio::ip::address_v4::loopback(), port), figures_(figures) {
    const std::string body = R"({"model":")" + model
                             + R"(","prompt":"Once upon a time","stream":true,"max_tokens":400})";
    request_ = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               "Content-Length: "
               + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  void start() {
    socket_.async_connect(to_, [self = shared_from_this()](error_code failed) {
      if (failed)
        return self->lost();
      self->socket_.set_option(tcp::no_delay(true));
      self->ask();
    });
  }

private:
  void ask() {
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](error_code failed, std::size_t) {
                        failed ? self->lost() : self->read();
                      });
  }
  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](error_code failed, std::size_t got) {
                              failed ? self->lost() : self->take({self->buffer_.data(), got});
                            });
  }
  /// Marks may lie across pieces, so the end of each is kept.
  void take(std::string_view piece) {
    figures_.bytes += piece.size();
    tail_.append(piece);
    for (auto at = tail_.find(event_mark); at != std::string::npos;
         at = tail_.find(event_mark, at + event_mark.size()))
      figures_.events += at + event_mark.size() > counted_ ? 1 : 0;
    const bool ended = tail_.ends_with(last_chunk);
    if (tail_.size() > last_chunk.size())
      tail_.erase(0, tail_.size() - last_chunk.size());
    counted_ = tail_.size();
    if (!ended)
      return read();
    ++figures_.answers;
    tail_.clear();
    counted_ = 0;
    ask();
  }
  void lost() { ++figures_.failures; }

  tcp::socket socket_;
  tcp::endpoint to_;
  load_figures& figures_;
  std::string request_;
  std::array<char, 65'536> buffer_{};
  std::string tail_;
  std::size_t counted_ = 0; ///< Marks that end within so many bytes of `tail_` were counted.
};

} // namespace

step_clock::step_clock(asio::io_context& io, std::chrono::microseconds step)
    : timer_(io), step_(step) {
  run();
}

void step_clock::run() {
  for (auto& one : fresh_)
    subscribers_.push_back(std::move(one));
  fresh_.clear();
  std::erase_if(subscribers_, [](const subscriber& one) { return !one(); });
  timer_.expires_after(step_);
  timer_.async_wait([this](error_code failed) {
    if (!failed)
      run();
  });
}

sse_engine::sse_engine(asio::io_context& io, step_clock& clock, unsigned events)
    : acceptor_(io, {asio::ip::address_v4::loopback(), 0}), clock_(clock), events_(events) {
  accept();
}

void sse_engine::accept() {
  acceptor_.async_accept([this](error_code failed, tcp::socket socket) {
    if (failed)
      return;
    socket.set_option(tcp::no_delay(true));
    socket.non_blocking(true);
    std::make_shared<sse_session>(std::move(socket), clock_, events_)->read_request();
    accept();
  });
}

load_figures run_load(std::uint16_t port, const std::string& model, unsigned streams,
                      std::chrono::duration<double> span) {
  asio::io_context io(1);
  load_figures figures;
  for (unsigned at = 0; at < streams; ++at)
    std::make_shared<sse_client>(io, port, model, figures)->start();
  io.run_for(std::chrono::duration_cast<std::chrono::milliseconds>(span));
  return figures;
}

} // namespace consort::bench
