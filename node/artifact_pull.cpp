// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_pull.hpp"

#include "node/byte_range.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace consort::node {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using links::as_values;
using links::task;

namespace {

std::string_view header_of(const http::fields& fields, std::string_view name) {
  const auto value = fields[boost::beast::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

/// What the other node measured; nothing when it says nothing sensible.
std::map<std::string, std::string> read_quality(std::string_view text) {
  std::map<std::string, std::string> out;
  const auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object() || document.size() > limits::quality_entries_max)
    return out;
  for (const auto& [name, value] : document.items())
    if (value.is_string())
      out.emplace(name, value.get<std::string>());
  return out;
}

error stopped() {
  return {recovery::retry_later, "fetch_stopped", "the fetch was stopped"};
}

} // namespace

artifact_pull::artifact_pull(std::shared_ptr<pull_means> means, fetch_request wanted)
    : means_(std::move(means)),
      wanted_(std::move(wanted)),
      strand_(asio::make_strand(means_->io)),
      names_(strand_),
      deadline_(strand_,
                [this] {
                  names_.cancel();
                  if (stream_)
                    stream_->cut();
                }),
      pause_(strand_),
      until_(std::chrono::steady_clock::now() + std::chrono::microseconds(means_->limits.whole)) {
  record_.key = wanted_.key;
  record_.content = wanted_.content;
}

void artifact_pull::cut() {
  cut_ = true;
  asio::post(strand_, [self = shared_from_this()] {
    self->names_.cancel();
    self->pause_.cancel();
    if (self->stream_)
      self->stream_->cut();
  });
}

task<void> artifact_pull::run(artifact_fetcher::callback ended) {
  const auto record = co_await fetch();
  deadline_.stop();
  staging_.reset();
  ended(record);
}

task<result<artifact_record>> artifact_pull::fetch() {
  auto wait = means_->limits.backoff;
  for (std::size_t tries = 1;; ++tries) {
    const auto before = have();
    const auto problem = co_await pull();
    stream_.reset();
    if (cut_)
      co_return stopped();
    if (!problem)
      break;
    if (have() > before) { // It moves: patience begins anew.
      tries = 1;
      wait = means_->limits.backoff;
    }
    if (!problem->again || tries >= means_->limits.tries)
      co_return problem->why;
    if (left() <= wait)
      co_return error{recovery::retry_later, "fetch_timeout",
                      "the fetch took too long; last: " + problem->why.message};
    pause_.expires_after(std::chrono::microseconds(wait));
    co_await pause_.async_wait(as_values);
    wait *= 2;
  }
  co_return co_await finish();
}

task<artifact_pull::outcome> artifact_pull::pull() {
  auto problem = co_await connect();
  if (!problem)
    problem = co_await ask();
  if (!problem && !staging_)
    problem = co_await stage();
  if (!problem)
    problem = co_await receive();
  deadline_.clear();
  co_return problem;
}

task<artifact_pull::outcome> artifact_pull::connect() {
  const auto target = links::parse_address(wanted_.address);
  if (!target)
    co_return setback{target.failure(), false};
  if (!means_->credentials && !links::stays_on_loopback(target->host))
    co_return setback{{recovery::refuse, "address_unprotected",
                       wanted_.address + " is not on this machine and there are no certificates"},
                      false};
  limit(means_->limits.connect);
  const auto found = co_await names_.find(target->host, target->port);
  if (found.failed || cut_)
    co_return broken(found.failed.message());
  asio::ip::tcp::socket socket(strand_);
  stream_.emplace(std::move(socket));
  buffer_.clear();
  const auto [refused, at] = co_await asio::async_connect(stream_->socket(), found.ends, as_values);
  if (refused || cut_)
    co_return broken(refused.message());
  if (!means_->credentials)
    co_return std::nullopt;
  const auto peer = co_await stream_->greet(*means_->credentials, asio::ssl::stream_base::client);
  if (!peer)
    co_return setback{peer.failure(), peer.failure().code == "tls_failed"};
  if (peer->role != links::peer_role::node || peer->name != wanted_.from.value)
    co_return setback{
        {recovery::retry_elsewhere, "wrong_node",
         "at " + wanted_.address + " is " + peer->name + ", not " + wanted_.from.value},
        false};
  co_return std::nullopt;
}

task<artifact_pull::outcome> artifact_pull::ask() {
  std::string request = "GET /v1/artifacts/" + wanted_.content.value
                        + " HTTP/1.1\r\nHost: " + wanted_.address + "\r\nConnection: close\r\n";
  if (have() > 0)
    request += "Range: bytes=" + std::to_string(have()) + "-\r\nIf-Range: \""
               + wanted_.content.value + "\"\r\n";
  request += "\r\n";
  limit(means_->limits.stall);
  const auto from = asio::buffer(request);
  const auto [unsent, sent] = co_await asio::async_write(*stream_, from, as_values);
  if (unsent)
    co_return broken(unsent.message());
  parser head;
  head.header_limit(static_cast<std::uint32_t>(limits::data_head_bytes_max));
  head.body_limit(boost::none);
  const auto [failed, size] = co_await http::async_read_header(*stream_, buffer_, head, as_values);
  if (failed)
    co_return broken(failed.message());
  co_return judge(head);
}

/// What the head of an answer means for what is missing.
artifact_pull::outcome artifact_pull::judge(const parser& head) {
  const auto status = head.get().result_int();
  const auto length = head.content_length();
  if (status == 404)
    return setback{{recovery::retry_elsewhere, "artifact_missing",
                    wanted_.from.value + " has no artifact " + wanted_.content.value},
                   false};
  if (status == 503)
    return setback{
        {recovery::retry_later, "node_busy", wanted_.from.value + " sends no artifact now"}, true};
  if ((status != 200 && status != 206) || !length)
    return setback{{recovery::retry_elsewhere, "fetch_refused",
                    wanted_.from.value + " answered with status " + std::to_string(status)},
                   false};
  content_range got{{0, *length}, *length};
  if (status == 206) {
    const auto said = parse_content_range(header_of(head.get(), "Content-Range"));
    if (!said || said->range.begin != have() || said->range.size != *length)
      return broken("another range than the one asked for");
    got = *said;
  }
  if (got.size_bytes > means_->limits.bytes || got.size_bytes == 0)
    return setback{{recovery::refuse, "artifact_too_large",
                    "artifact " + wanted_.content.value + " is of " + std::to_string(got.size_bytes)
                        + " bytes"},
                   false};
  if (size_ != 0 && got.size_bytes != size_)
    return broken("its size has changed");
  if (status == 200 && writer_)
    writer_->restart();
  size_ = got.size_bytes;
  read_record(head);
  return std::nullopt;
}

void artifact_pull::read_record(const parser& head) {
  const auto build = header_of(head.get(), "X-Consort-Build-Us");
  duration_us build_us = 0;
  std::from_chars(build.data(), build.data() + build.size(), build_us);
  record_.build_us = std::max<duration_us>(0, build_us);
  record_.quality = read_quality(header_of(head.get(), "X-Consort-Quality"));
}

/// Checks that the disk has room before a single byte is taken.
task<artifact_pull::outcome> artifact_pull::stage() {
  using staged = result<staging_folder>;
  const auto make = [means = means_, size = size_] {
    return std::make_shared<staged>(means->store.stage(size));
  };
  const auto made = co_await means_->disk.run(make);
  if (!made)
    co_return setback{stopped(), false};
  if (!**made)
    co_return setback{(*made)->failure(), false};
  staging_ = std::make_shared<staging_folder>(std::move(**made).value());
  unique_fd file(
      ::open(staging_->output_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.get() < 0)
    co_return setback{
        {recovery::retry_later, "disk_error", staging_->output_path() + ": cannot be written"},
        false};
  writer_ = std::make_shared<piece_writer>(strand_, means_->disk, std::move(file));
  co_return std::nullopt;
}

/// Gathers pieces worth a write; one is written while the next comes. What came before a cut is
/// written too.
task<artifact_pull::outcome> artifact_pull::receive() {
  outcome problem;
  auto taken = have();
  while (!problem && taken < size_) {
    const auto wanted = std::min<std::uint64_t>(size_ - taken, limits::artifact_piece_bytes);
    problem = co_await fill_piece(wanted);
    taken += piece_.size();
    auto unwritten = co_await settle();
    if (unwritten)
      co_return unwritten;
    writer_->begin(piece_);
  }
  auto unwritten = co_await settle();
  co_return unwritten ? std::move(unwritten) : std::move(problem);
}

/// Returns: why fewer bytes than `wanted` came; those are in piece_.
task<artifact_pull::outcome> artifact_pull::fill_piece(std::uint64_t wanted) {
  outcome problem;
  piece_.resize(wanted);
  std::size_t filled = asio::buffer_copy(asio::buffer(piece_), buffer_.data());
  buffer_.consume(filled);
  while (!problem && filled < wanted) {
    limit(means_->limits.stall);
    const auto into = asio::buffer(piece_.data() + filled, wanted - filled);
    const auto [failed, size] = co_await stream_->async_read_some(into, as_values);
    filled += size;
    if (failed)
      problem = broken(deadline_.expired() ? "nothing came in time" : failed.message());
  }
  deadline_.clear();
  piece_.resize(filled);
  co_return problem;
}

/// Waits until what was received is written.
task<artifact_pull::outcome> artifact_pull::settle() {
  const auto unwritten = co_await writer_->settled();
  if (unwritten)
    co_return setback{*unwritten, false};
  co_return std::nullopt;
}

task<result<artifact_record>> artifact_pull::finish() {
  const auto hashed = writer_->finish();
  using stored = result<artifact_record>;
  const auto put = [self = shared_from_this(), hashed] {
    auto& store = self->means_->store;
    return std::make_shared<stored>(
        store.put_copy(std::move(*self->staging_), self->record_, hashed));
  };
  const auto done = co_await means_->disk.run(put);
  if (!done)
    co_return stopped();
  co_return std::move(**done);
}

void artifact_pull::limit(duration_us span) {
  deadline_.set(std::max<duration_us>(0, std::min(span, left())));
}

duration_us artifact_pull::left() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(until_
                                                               - std::chrono::steady_clock::now())
      .count();
}

artifact_pull::setback artifact_pull::broken(const std::string& why) const {
  return {{recovery::retry_elsewhere, "node_unreachable",
           "artifact " + wanted_.content.value + " from " + wanted_.address + ": " + why},
          true};
}

} // namespace consort::node
