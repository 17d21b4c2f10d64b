// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One file brought here from the hub or the web, by ranges: again after every cut, for as long as
/// each try brings something; from the beginning, at once and once, where the server does not go on
/// with what is here. What it is is the caller's to check. Blocks; used by one thread, but for
/// stopping it.

#include "node/weights/hub.hpp"
#include "node/weights/partial_file.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace consort::node {

/// Ends a fetch from any thread, and its pauses at once.
class fetch_stop {
public:
  void stop();
  /// Returns: false when it was stopped meanwhile.
  [[nodiscard]] bool pause_for(duration_us span);
  [[nodiscard]] const std::atomic<bool>& flag() const { return stopped_; }

private:
  std::mutex guard_;
  std::condition_variable ended_;
  std::atomic<bool> stopped_ = false;
};

class web_file {
public:
  /// How the caller takes part in it.
  struct watching {
    /// Whether so many further bytes may come; asked when a body begins.
    std::function<result<done>(std::uint64_t bytes)> room;
    std::function<void(std::uint64_t have, std::uint64_t total)> progress;
    /// Told before what went wrong is returned: not to be asked for it for so long. May be empty.
    std::function<void(duration_us span)> left_alone = {};
  };

  /// Borrows all of them but the source.
  web_file(weight_source source, const hub_settings& hub, fetch_stop& stop, watching& watch)
      : source_(std::move(source)), hub_(hub), stop_(stop), watch_(watch) {}

  /// Goes on with what `file` holds until it is whole. Returns: what went wrong; errors of
  /// web_exchange(), judge_status() and partial_file, and `weights_refused`.
  [[nodiscard]] std::optional<error> fetch(partial_file& file);

private:
  using outcome = std::optional<error>;

  [[nodiscard]] outcome fetch_rest();
  [[nodiscard]] bool was_whole(const std::string& said);
  [[nodiscard]] outcome restart();
  [[nodiscard]] outcome begin(const web_head& head, std::string_view piece);
  [[nodiscard]] outcome take(std::string_view piece);
  [[nodiscard]] std::string text() const;

  const weight_source source_;
  const hub_settings& hub_;
  fetch_stop& stop_;
  watching& watch_;
  partial_file* file_ = nullptr;
  std::string etag_;
  std::uint64_t total_ = 0;        ///< Bytes; 0 until it is known.
  duration_us retry_after_us_ = 0; ///< As the last answer asked for.
  bool cleared_ = false;           ///< By the last answer: it did not go on with the file.
};

} // namespace consort::node
