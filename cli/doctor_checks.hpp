// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What `consort doctor` looks at, one function for each part: it looks, judges and says what to
/// type next. Each blocks for a bounded time and changes nothing: no file is kept, no port held,
/// and a scheduler that is asked takes no notice beyond a log line.

#include "links/credentials.hpp"
#include "node/limits.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace consort::cli {

enum class verdict : std::uint8_t { ok, warn, fail };

/// `ok`, `warn`, `FAIL`.
[[nodiscard]] std::string word_of(verdict how);

struct check {
  std::string name;
  verdict how = verdict::ok;
  std::string found;
  std::string next; ///< What to type or do; empty when all is well.
};

inline constexpr std::uint64_t free_bytes_low = std::uint64_t{10} << 30; ///< Artifacts are large.
inline constexpr auto free_bytes_least = node::limits::disk_headroom_bytes; ///< Stores stop here.
/// Nothing of a link depends on two hosts' wall clocks but certificates' dates and logs.
inline constexpr std::int64_t skew_warning_s = 5;
inline constexpr std::int64_t skew_failure_s = 3'600; ///< Certificates begin that much earlier.
inline constexpr std::chrono::seconds link_wait{12};  ///< For the whole conversation.
/// Slower than that and leases of a busy link come late.
inline constexpr std::chrono::milliseconds round_trip_slow{250};

/// How a data folder with so much free space does.
[[nodiscard]] check judge_room(const std::string& folder, std::uint64_t free_bytes);

/// Writable, with room. Creates the folder when it is missing, as a server would.
[[nodiscard]] check check_data_folder(const std::string& folder);

/// That `library` is there and loads, with what it needs. Runs its initialisers in this process.
[[nodiscard]] check check_engine(const std::string& library);

/// That `host:port` can be listened on. `owner` says who has a port, or nothing.
[[nodiscard]] check check_port(const std::string& name, const std::string& host, std::uint16_t port,
                               const std::function<std::string(std::uint16_t)>& owner);

/// The certificate of `folder`: files, mode, dates, authority, revocation.
struct certificate_checks {
  std::vector<check> checks;
  std::shared_ptr<links::credentials> credentials; ///< Null when they cannot be used.
};
[[nodiscard]] certificate_checks check_certificate(const std::string& folder,
                                                   std::int64_t now_unix_s);

/// What to say to a scheduler.
struct link_question {
  std::string join;                                ///< `host:port`.
  std::shared_ptr<links::credentials> credentials; ///< Null = a plain link, loopback only.
  std::string cluster;
  std::string token;
  std::chrono::milliseconds wait = link_wait;
};

/// Dials as a node would and says a hello that the guard reads wholly and then refuses, so that no
/// node is displaced: reach, the scheduler's clock if its refusal tells it, TLS, protocol, cluster,
/// token, round trip. What comes after the first failure is left out.
[[nodiscard]] std::vector<check> check_link(const link_question& question);

/// Judges a clock that is `skew_s` ahead of another: `whose`.
[[nodiscard]] check check_skew(const std::string& name, const std::string& whose,
                               std::int64_t skew_s);

/// Compares with `http_date`, the Date of a server's answer (RFC 9110); nothing when there is none.
[[nodiscard]] std::optional<check> check_clock(const std::string& http_date,
                                               std::int64_t now_unix_s);

} // namespace consort::cli
