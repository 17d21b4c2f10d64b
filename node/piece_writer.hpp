// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A file that is written piece by piece while the next piece is on its way. Each piece is hashed
/// on the disk thread that writes it, so that nobody reads the file again to know what it is, and
/// is sent on to the disk early, so that the sync at the end finds little to do. Owned by one pull;
/// lives on its strand, and only write() touches a disk thread. At most one piece is under way.

#include "links/bell.hpp"
#include "node/disk_work.hpp"
#include "node/file_digest.hpp"
#include "node/process_group.hpp"

#include <memory>
#include <vector>

namespace consort::node {

class piece_writer : public std::enable_shared_from_this<piece_writer> {
public:
  /// `file` is empty and writable. `disk` outlives the last piece.
  piece_writer(const boost::asio::any_io_executor& strand, disk_threads& disk, unique_fd file);

  /// Begins to write `piece` behind all others, and leaves another buffer in its place. Requires:
  /// settled. Called by one who keeps this alive until settled.
  void begin(std::vector<char>& piece);
  /// Waits for the piece under way. Returns: why not all of it was written: `disk_full`,
  /// `disk_error`; `fetch_stopped` when the disk threads were.
  [[nodiscard]] links::task<std::optional<error>> settled();
  /// All over again. Requires: settled.
  void restart();

  /// Bytes that stand in the file, from its begin on.
  [[nodiscard]] std::uint64_t written() const { return written_; }
  /// SHA-256 of them; closes the file. Requires: settled. Call once.
  [[nodiscard]] digest finish();

private:
  std::optional<error> write();
  std::optional<error> write_all(const std::vector<char>& from);
  void push_out();

  const boost::asio::any_io_executor strand_;
  disk_threads& disk_;
  unique_fd file_;
  running_sha256 hash_;
  std::vector<char> piece_; ///< Under way; empty when settled.
  std::uint64_t written_ = 0;
  std::uint64_t pushed_out_ = 0; ///< So much of it is known to be on its way to the disk.
  std::optional<error> problem_; ///< Of the piece that ended last.
  bool under_way_ = false;
  links::bell ended_;
};

} // namespace consort::node
