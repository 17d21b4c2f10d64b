// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One artifact on its way from another node: connects, asks for what is missing, writes it down,
/// and does so again after a cut. Lives on a strand of its own; cut() may be called from any
/// thread. The store is touched on the disk threads only. Private to the fetcher.

#include "links/address.hpp"
#include "links/data_stream.hpp"
#include "links/lookup.hpp"
#include "node/artifact_fetch.hpp"
#include "node/disk_work.hpp"
#include "node/piece_writer.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <atomic>

namespace consort::node {

/// What pulls share. Outlives them.
struct pull_means {
  boost::asio::io_context& io;
  artifact_store& store;
  const std::shared_ptr<const links::credentials> credentials;
  const limits::fetch_set limits;
  disk_threads disk{limits::disk_threads};
};

class artifact_pull : public std::enable_shared_from_this<artifact_pull> {
public:
  artifact_pull(std::shared_ptr<pull_means> means, fetch_request wanted);

  /// To its end, which `ended` is told on the strand. Call once, on the executor, by one who keeps
  /// this alive.
  links::task<void> run(artifact_fetcher::callback ended);
  [[nodiscard]] boost::asio::any_io_executor executor() const { return strand_; }
  /// Ends it soon. Thread-safe.
  void cut();

private:
  using parser = boost::beast::http::response_parser<boost::beast::http::buffer_body>;
  /// Why a try ended early, and whether another makes sense.
  struct setback {
    error why;
    bool again = true;
  };
  using outcome = std::optional<setback>;

  links::task<result<artifact_record>> fetch();
  links::task<outcome> pull();
  links::task<outcome> connect();
  links::task<outcome> ask();
  [[nodiscard]] outcome judge(const parser& head);
  void read_record(const parser& head);
  links::task<outcome> stage();
  links::task<outcome> receive();
  links::task<outcome> fill_piece(std::uint64_t wanted);
  links::task<outcome> settle();
  links::task<result<artifact_record>> finish();

  void limit(duration_us span);
  [[nodiscard]] setback broken(const std::string& why) const;
  [[nodiscard]] duration_us left() const;
  /// Bytes that are written.
  [[nodiscard]] std::uint64_t have() const { return writer_ ? writer_->written() : 0; }

  const std::shared_ptr<pull_means> means_;
  const fetch_request wanted_;
  const boost::asio::any_io_executor strand_;
  std::optional<links::data_stream> stream_;
  links::name_lookup names_;
  links::moving_deadline deadline_;
  boost::asio::steady_timer pause_;
  boost::beast::flat_buffer buffer_{limits::http_held_bytes_max};
  const std::chrono::steady_clock::time_point until_;
  std::atomic<bool> cut_ = false;
  artifact_record record_;  ///< As it will be stored.
  std::uint64_t size_ = 0;  ///< Of the whole; 0 until it is known.
  std::vector<char> piece_; ///< Received, not yet given to the writer.
  std::shared_ptr<staging_folder> staging_;
  std::shared_ptr<piece_writer> writer_; ///< Null until a size is known.
};

} // namespace consort::node
