// SPDX-License-Identifier: Apache-2.0
// Many node agents with simulated devices against one real scheduler, over real links. Prints one
// JSON object per line: how many are welcome, whenever that changes and once a second; reads
// `rate N` (device reports per second, over all) and `quit` from its input. What the scheduler uses
// is measured from outside: tests/storm/agents.mjs does it all.
// Usage: agents_bench HOST:PORT TOKEN [AGENTS] [DEVICES] [AUTHORITY-FOLDER]
#include "links/certificates.hpp"
#include "tests/bench/simulated_agent.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <istream>
#include <unistd.h>

namespace {

using namespace consort;
using clock_type = std::chrono::steady_clock;

constexpr auto beat = std::chrono::milliseconds(10); ///< Reports are sent in that many bursts.
constexpr auto tell_every = std::chrono::seconds(1);

/// A certificate for one agent, in a folder below the authority's. Returns: null after complaining.
std::shared_ptr<links::credentials> credentials_of(const std::string& authority_folder,
                                                   const std::string& name) {
  const auto authority = links::read_authority(authority_folder);
  if (!authority) {
    std::fprintf(stderr, "%s\n", authority.failure().message.c_str());
    return nullptr;
  }
  const auto folder = std::filesystem::path(authority_folder) / "agents" / name;
  std::filesystem::create_directories(folder);
  const auto leaf = links::issue(*authority, {links::peer_role::node, name});
  if (!leaf || !links::write_leaf(folder, authority->certificate, *leaf))
    return nullptr;
  auto loaded = links::credentials::load(folder);
  return loaded ? *loaded : nullptr;
}

class crowd {
public:
  explicit crowd(boost::asio::io_context& io)
      : io_(io), pulse_(io), commands_(io, ::dup(STDIN_FILENO)), began_(clock_type::now()) {}

  /// Returns: false after complaining.
  bool fill(const bench::agent_settings& common, std::uint64_t count,
            const std::string& authority) {
    for (std::uint64_t at = 0; at < count; ++at) {
      auto own = common;
      own.name = "agent" + std::to_string(at);
      own.seed = 1'000'003 * (at + 1) + static_cast<std::uint64_t>(::getpid());
      if (!authority.empty() && !(own.credentials = credentials_of(authority, own.name)))
        return false;
      agents_.emplace_back(io_, std::move(own));
    }
    return true;
  }

  bool start() {
    began_ = last_told_ = last_beat_ = clock_type::now();
    for (auto& agent : agents_)
      if (const auto started = agent.start(); !started) {
        std::fprintf(stderr, "%s\n", started.failure().message.c_str());
        return false;
      }
    pulse();
    read_command();
    return true;
  }

private:
  void pulse() {
    send_reports();
    tell();
    pulse_.expires_after(beat);
    pulse_.async_wait([this](const boost::system::error_code& failed) {
      if (!failed)
        pulse();
    });
  }

  /// As many as are due since the last beat, one per agent in turn.
  void send_reports() {
    const auto now = clock_type::now();
    due_ += rate_ * std::chrono::duration<double>(now - last_beat_).count();
    last_beat_ = now;
    for (std::size_t tried = 0; due_ >= 1 && tried < 2 * agents_.size(); ++tried) {
      if (agents_[next_].report_device()) {
        ++reports_;
        due_ -= 1;
      }
      next_ = (next_ + 1) % agents_.size();
    }
  }

  void tell() {
    std::size_t welcomed = 0;
    std::uint64_t refusals = 0;
    for (const auto& agent : agents_) {
      welcomed += agent.welcomed() ? 1 : 0;
      refusals += agent.refusals();
    }
    const auto now = clock_type::now();
    if (welcomed == told_ && now - last_told_ < tell_every)
      return;
    told_ = welcomed;
    last_told_ = now;
    std::printf("{\"ms\":%.1f,\"welcomed\":%zu,\"refusals\":%llu,\"reports\":%llu}\n",
                std::chrono::duration<double, std::milli>(now - began_).count(), welcomed,
                static_cast<unsigned long long>(refusals),
                static_cast<unsigned long long>(reports_));
    std::fflush(stdout);
  }

  void read_command() {
    boost::asio::async_read_until(commands_, input_, '\n',
                                  [this](const boost::system::error_code& failed, std::size_t) {
                                    std::istream lines(&input_);
                                    std::string word;
                                    if (failed || !(lines >> word) || word == "quit")
                                      return finish();
                                    if (word == "rate")
                                      lines >> rate_;
                                    lines.ignore(1, '\n');
                                    read_command();
                                  });
  }

  void finish() {
    for (auto& agent : agents_)
      agent.stop();
    io_.stop();
  }

  boost::asio::io_context& io_;
  boost::asio::steady_timer pulse_;
  boost::asio::posix::stream_descriptor commands_;
  boost::asio::streambuf input_;
  std::deque<bench::simulated_agent> agents_;
  clock_type::time_point began_, last_told_, last_beat_;
  std::size_t told_ = 0, next_ = 0;
  double rate_ = 0, due_ = 0;
  std::uint64_t reports_ = 0;
};

} // namespace

int main(int argc, char** argv) {
  const std::string where = argc > 1 ? argv[1] : "";
  const auto colon = where.rfind(':');
  if (argc < 3 || colon == std::string::npos) {
    std::fprintf(stderr, "usage: %s HOST:PORT TOKEN [AGENTS] [DEVICES] [AUTHORITY-FOLDER]\n",
                 argv[0]);
    return 2;
  }
  spdlog::set_level(spdlog::level::err);
  bench::agent_settings common;
  common.scheduler_host = where.substr(0, colon);
  common.scheduler_port = static_cast<std::uint16_t>(std::stoul(where.substr(colon + 1)));
  common.join_token = argv[2];
  common.devices = argc > 4 ? static_cast<unsigned>(std::stoul(argv[4])) : 8;
  boost::asio::io_context io(1);
  crowd all(io);
  if (!all.fill(common, argc > 3 ? std::stoull(argv[3]) : 1'000, argc > 5 ? argv[5] : "")
      || !all.start())
    return 1;
  io.run();
  return 0;
}
