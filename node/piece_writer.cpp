// SPDX-License-Identifier: Apache-2.0
#include "node/piece_writer.hpp"

#include "node/limits.hpp"

#include <boost/asio/bind_executor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace consort::node {

piece_writer::piece_writer(const boost::asio::any_io_executor& strand, disk_threads& disk,
                           unique_fd file)
    : strand_(strand), disk_(disk), file_(std::move(file)), ended_(strand) {}

void piece_writer::begin(std::vector<char>& piece) {
  std::swap(piece_, piece);
  under_way_ = true;
  using outcome = std::optional<error>;
  const auto work = [self = shared_from_this()] { return self->write(); };
  const auto told = [self = shared_from_this()](std::optional<outcome> done) {
    self->problem_
        = done ? std::move(*done)
               : outcome(error{recovery::retry_later, "fetch_stopped", "the fetch was stopped"});
    if (!self->problem_)
      self->written_ += self->piece_.size();
    self->under_way_ = false;
    self->ended_.ring();
  };
  disk_.begin(work, boost::asio::bind_executor(strand_, told));
}

links::task<std::optional<error>> piece_writer::settled() {
  while (under_way_)
    co_await ended_.wait(links::bell::clock::time_point::max());
  co_return std::exchange(problem_, std::nullopt);
}

void piece_writer::restart() {
  hash_ = {};
  written_ = 0;
  pushed_out_ = 0;
}

digest piece_writer::finish() {
  file_.reset();
  return hash_.finish();
}

std::optional<error> piece_writer::write() {
  if (auto problem = write_all(piece_))
    return problem;
  hash_.add(piece_.data(), piece_.size());
  push_out();
  return std::nullopt;
}

std::optional<error> piece_writer::write_all(const std::vector<char>& from) {
  for (std::size_t done = 0; done < from.size();) {
    const auto put = ::pwrite(file_.get(), from.data() + done, from.size() - done,
                              static_cast<off_t>(written_ + done));
    if (put < 0 && errno == EINTR)
      continue;
    if (put <= 0) {
      const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
      return error{full ? recovery::retry_elsewhere : recovery::retry_later,
                   full ? "disk_full" : "disk_error",
                   std::string("a fetched artifact cannot be written: ") + std::strerror(errno)};
    }
    done += static_cast<std::size_t>(put);
  }
  return std::nullopt;
}

/// Has the kernel begin to write what has gathered. Whether that works is for the sync to say.
void piece_writer::push_out() {
  const auto end = written_ + piece_.size();
  if (end - pushed_out_ < limits::artifact_push_out_bytes)
    return;
  static_cast<void>(::sync_file_range(file_.get(), static_cast<off_t>(pushed_out_),
                                      static_cast<off_t>(end - pushed_out_),
                                      SYNC_FILE_RANGE_WRITE));
  pushed_out_ = end;
}

} // namespace consort::node
