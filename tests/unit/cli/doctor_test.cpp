// SPDX-License-Identifier: Apache-2.0
// What `consort doctor` finds, against real folders, ports and guards.
#include "cli/authority_folder.hpp"
#include "cli/doctor_report.hpp"
#include "links/guard.hpp"
#include "scheduler/units.hpp"
#include "tests/unit/cli/command_run.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;
using boost::asio::ip::tcp;
using testing::HasSubstr;

std::string nobody(std::uint16_t) {
  return {};
}

class DoctorTest : public testing::Test {
protected:
  DoctorTest() {
    char pattern[] = "/tmp/consort-doctor-XXXXXX";
    home_ = mkdtemp(pattern);
  }
  ~DoctorTest() override {
    if (guard_)
      guard_->stop();
    work_.reset();
    io_.stop();
    runs_.join();
    fs::remove_all(home_);
  }

  authority_folder authority(const std::string& name, const std::string& cluster = "lab") const {
    auto made = authority_folder::create(home_ / name, cluster);
    EXPECT_TRUE(made.ok());
    return std::move(*made);
  }
  static std::string leaf(const authority_folder& of, links::peer_role role, const char* name) {
    const auto row = of.issue(role, name, 365);
    EXPECT_TRUE(row.ok());
    return row->folder.string();
  }
  static std::shared_ptr<links::credentials> load(const std::string& folder) {
    auto loaded = links::credentials::load(folder);
    EXPECT_TRUE(loaded.ok());
    return std::move(*loaded);
  }

  /// A scheduler's guard of cluster `lab`, token `secret`. Returns: its address.
  std::string listen(std::shared_ptr<links::credentials> with = nullptr) {
    links::guard_options options;
    options.cluster = "lab";
    options.join_token = "secret";
    options.credentials = std::move(with);
    auto started = links::guard::start(
        io_, std::move(options),
        [](const std::shared_ptr<links::link>&, messages::frame) { ADD_FAILURE() << "a link"; });
    EXPECT_TRUE(started.ok());
    guard_ = std::move(*started);
    return guard_->address();
  }

  fs::path home_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::unique_ptr<links::guard> guard_;
  std::thread runs_{[this] { io_.run(); }};
};

/// Expects all rows fine but the last, which fails as named.
void expect_failure(const std::vector<check>& checks, const std::string& name,
                    const std::string& next) {
  ASSERT_FALSE(checks.empty());
  for (std::size_t at = 0; at + 1 < checks.size(); ++at)
    EXPECT_NE(checks[at].how, verdict::fail) << checks[at].name << ": " << checks[at].found;
  EXPECT_EQ(checks.back().name, name) << checks.back().found;
  EXPECT_EQ(checks.back().how, verdict::fail);
  EXPECT_THAT(checks.back().next, HasSubstr(next));
}

void expect_fine(const std::vector<check>& checks, std::size_t rows) {
  EXPECT_EQ(checks.size(), rows);
  for (const auto& one : checks)
    EXPECT_EQ(one.how, verdict::ok) << one.name << ": " << one.found;
}

TEST_F(DoctorTest, APlainLinkThatWorksIsFineAndDisplacesNobody) {
  const auto address = listen();
  expect_fine(check_link({address, nullptr, "lab", "secret"}), 6);
  EXPECT_EQ(guard_->counters().greeted, 0U);
}

TEST_F(DoctorTest, TheSchedulersClockIsComparedOverTheLink) {
  const auto address = listen();
  for (const auto* token : {"secret", "guess"}) {
    const auto checks = check_link({address, nullptr, "lab", token});
    ASSERT_GE(checks.size(), 2U);
    EXPECT_EQ(checks[1].name, "link: clock");
    EXPECT_EQ(checks[1].how, verdict::ok);
    EXPECT_EQ(checks[1].found, "as the scheduler's");
  }
  const auto late = check_skew("link: clock", "the scheduler's", -90);
  EXPECT_EQ(late.how, verdict::warn);
  EXPECT_EQ(late.found, "90s behind the scheduler's");
  EXPECT_THAT(late.next, HasSubstr("timedatectl"));
  EXPECT_EQ(check_skew("link: clock", "the scheduler's", skew_failure_s).how, verdict::fail);
}

TEST_F(DoctorTest, AWrongTokenOrClusterIsNamed) {
  const auto address = listen();
  expect_failure(check_link({address, nullptr, "lab", "guess"}), "link: token", "consort token");
  const auto without = check_link({address, nullptr, "lab", ""});
  expect_failure(without, "link: token", "consort token");
  EXPECT_EQ(without.back().found, "none was given");
  expect_failure(check_link({address, nullptr, "other", "secret"}), "link: cluster", "cluster");
}

TEST_F(DoctorTest, AClosedPortIsOutOfReach) {
  boost::asio::io_context io;
  tcp::acceptor bound(io, {boost::asio::ip::address_v4::loopback(), 0});
  const auto port = std::to_string(bound.local_endpoint().port());
  bound.close();
  expect_failure(check_link({"127.0.0.1:" + port, nullptr, "lab", "secret"}), "link: reach",
                 "consort scheduler");
}

TEST_F(DoctorTest, BeyondLoopbackItAsksForACertificate) {
  expect_failure(check_link({"192.0.2.1:4280", nullptr, "lab", "secret"}), "link: reach", "--cert");
  expect_failure(check_link({"nowhere", nullptr, "lab", "secret"}), "link: reach", "HOST:PORT");
}

TEST_F(DoctorTest, ALinkWithCertificatesThatWorksIsFine) {
  const auto lab = authority("ca");
  const auto address = listen(load(leaf(lab, links::peer_role::scheduler, "main")));
  const auto mine = load(leaf(lab, links::peer_role::node, "edge-1"));
  expect_fine(check_link({address, mine, "lab", "secret"}), 8);
  EXPECT_EQ(guard_->counters().greeted, 0U);
}

TEST_F(DoctorTest, WithoutACertificateWhereOneIsWantedItSaysSo) {
  const auto lab = authority("lab-ca");
  const auto address = listen(load(leaf(lab, links::peer_role::scheduler, "main")));
  expect_failure(check_link({address, nullptr, "lab", "secret"}), "link: protocol",
                 "--cert FOLDER");
}

TEST_F(DoctorTest, AnotherAuthoritysSchedulerIsTheirFaultOrOurs) {
  const auto lab = authority("ca");
  const auto address = listen(load(leaf(lab, links::peer_role::scheduler, "main")));
  const auto stranger = load(leaf(authority("ca2"), links::peer_role::node, "edge-1"));
  expect_failure(check_link({address, stranger, "lab", "secret"}), "link: TLS", "same");
}

TEST_F(DoctorTest, ARevokedCertificateIsOurFault) {
  const auto lab = authority("ca");
  const auto guarding = load(leaf(lab, links::peer_role::scheduler, "main"));
  const auto mine = load(leaf(lab, links::peer_role::node, "edge-1"));
  guarding->revoke({mine->self().serial});
  const auto address = listen(guarding);
  expect_failure(check_link({address, mine, "lab", "secret"}), "link: our certificate", "renew");
}

TEST_F(DoctorTest, ANodeInTheSchedulersPlaceIsTheirFault) {
  const auto lab = authority("ca");
  const auto address = listen(load(leaf(lab, links::peer_role::node, "imposter")));
  const auto mine = load(leaf(lab, links::peer_role::node, "edge-1"));
  expect_failure(check_link({address, mine, "lab", "secret"}), "link: TLS",
                 "consort cert scheduler");
}

TEST_F(DoctorTest, AnOperatorsCertificateIsToldThatItCannotJoin) {
  const auto lab = authority("ca");
  const auto address = listen(load(leaf(lab, links::peer_role::scheduler, "main")));
  const auto checks
      = check_link({address, load(leaf(lab, links::peer_role::admin, "me")), "lab", "secret"});
  EXPECT_EQ(checks.size(), 8U);
  EXPECT_EQ(std::count_if(checks.begin(), checks.end(),
                          [](const auto& one) { return one.how == verdict::warn; }),
            1);
}

TEST_F(DoctorTest, ASilentListenerEndsAtTheDeadline) {
  boost::asio::io_context io;
  tcp::acceptor mute(io, {boost::asio::ip::address_v4::loopback(), 0});
  const auto address = "127.0.0.1:" + std::to_string(mute.local_endpoint().port());
  link_question question{address, nullptr, "lab", "secret"};
  question.wait = std::chrono::milliseconds(500);
  const auto checks = check_link(question);
  expect_failure(checks, "link: protocol", "link port");
  EXPECT_THAT(checks.back().found, HasSubstr("nothing in time"));
}

TEST_F(DoctorTest, ACertificateIsJudgedByFilesModeDatesAndRevocation) {
  const auto lab = authority("ca");
  const auto folder = leaf(lab, links::peer_role::node, "edge-1");
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  EXPECT_EQ(check_certificate(folder, now).checks.front().how, verdict::ok);
  const auto soon = check_certificate(folder, now + 340 * links::day_s).checks.front();
  EXPECT_EQ(soon.how, verdict::warn);
  EXPECT_THAT(soon.next, HasSubstr("consort cert renew edge-1"));
  ASSERT_TRUE(lab.revoke("edge-1").ok());
  EXPECT_EQ(check_certificate(folder, now).checks.front().how, verdict::fail);
  fs::permissions(folder + "/key.pem", fs::perms::owner_read | fs::perms::others_read);
  const auto open = check_certificate(folder, now);
  EXPECT_THAT(open.checks.front().next, HasSubstr("chmod 600"));
  EXPECT_EQ(open.credentials, nullptr);
  EXPECT_EQ(check_certificate(home_ / "none", now).checks.front().how, verdict::fail);
}

TEST_F(DoctorTest, ADataFolderMustBeWritable) {
  const auto fine = check_data_folder(home_ / "data");
  EXPECT_NE(fine.how, verdict::fail) << fine.found;
  EXPECT_THAT(fine.found, HasSubstr("free"));
  EXPECT_TRUE(fs::is_empty(home_ / "data"));
  std::ofstream(home_ / "file") << "x";
  const auto wrong = check_data_folder((home_ / "file" / "below").string());
  EXPECT_EQ(wrong.how, verdict::fail);
  EXPECT_THAT(wrong.next, HasSubstr("--data"));
}

TEST_F(DoctorTest, ADataFolderWithoutRoomSaysSo) {
  EXPECT_EQ(judge_room("/d", free_bytes_low).how, verdict::ok);
  const auto little = judge_room("/d", free_bytes_low - 1);
  EXPECT_EQ(little.how, verdict::warn);
  EXPECT_THAT(little.next, HasSubstr("--data"));
  EXPECT_EQ(judge_room("/d", free_bytes_least + 1).how, verdict::warn);
  const auto none = judge_room("/d", free_bytes_least);
  EXPECT_EQ(none.how, verdict::fail);
  EXPECT_THAT(none.found, HasSubstr("no room"));
  EXPECT_THAT(none.found, HasSubstr(format_size(free_bytes_least) + " stay free"));
}

TEST_F(DoctorTest, APortSaysWhoHasIt) {
  boost::asio::io_context io;
  tcp::acceptor taken(io, {boost::asio::ip::address_v4::loopback(), 0});
  const auto port = taken.local_endpoint().port();
  const auto named = check_port("p", "127.0.0.1", port, [](auto) { return "nginx (pid 7)"; });
  EXPECT_EQ(named.how, verdict::warn);
  EXPECT_THAT(named.found, HasSubstr("nginx (pid 7)"));
  EXPECT_EQ(check_port("p", "127.0.0.1", port, [](auto) { return "consort (pid 7)"; }).how,
            verdict::ok);
  taken.close();
  EXPECT_EQ(check_port("p", "127.0.0.1", port, nobody).how, verdict::ok);
  EXPECT_EQ(check_port("p", "192.0.2.1", port, nobody).how, verdict::fail);
  const auto v6 = check_port("p", "2001:db8::1", 4'280, nobody);
  EXPECT_NE(v6.found.find("cannot listen on [2001:db8::1]:4280: "), std::string::npos) << v6.found;
}

TEST_F(DoctorTest, AnEngineThatIsMissingOrBrokenIsNamed) {
  EXPECT_EQ(check_engine(home_ / "none.so").how, verdict::warn);
  std::ofstream(home_ / "broken.so") << "x";
  EXPECT_EQ(check_engine(home_ / "broken.so").how, verdict::fail);
}

TEST_F(DoctorTest, ClocksAreComparedByTheServersDate) {
  const std::string date = "Tue, 24 Nov 2026 10:00:00 GMT";
  const std::int64_t then = 1'795'514'400;
  EXPECT_EQ(check_clock(date, then)->how, verdict::ok);
  EXPECT_EQ(check_clock(date, then + skew_warning_s)->how, verdict::warn);
  EXPECT_THAT(check_clock(date, then - skew_failure_s)->found, HasSubstr("behind"));
  EXPECT_EQ(check_clock(date, then - skew_failure_s)->how, verdict::fail);
  EXPECT_FALSE(check_clock("yesterday", then).has_value());
}

TEST(DoctorReport, EndsWithFailureAndSaysWhatToDo) {
  bare_context run;
  const check good{"engine", verdict::ok, "loads", {}};
  const check doubtful{"port", verdict::warn, "taken\x1b[2J", "stop it"};
  const check bad{"token", verdict::fail, "wrong", "consort token"};
  EXPECT_EQ(show_checks(run.env, {good, doubtful}), exit_code::done);
  EXPECT_EQ(run.out.str().find('\x1b'), std::string::npos);
  run.out.str({});
  EXPECT_EQ(show_checks(run.env, {good, doubtful, bad}), exit_code::failed);
  EXPECT_THAT(run.out.str(), HasSubstr("FAIL"));
  EXPECT_THAT(run.out.str(), HasSubstr("token: consort token"));
  run.out.str({});
  run.env.options.output = "json";
  EXPECT_EQ(show_checks(run.env, {bad}), exit_code::failed);
  const auto said = nlohmann::json::parse(run.out.str());
  EXPECT_EQ(said["failed"], 1);
  EXPECT_EQ(said["checks"][0]["verdict"], "fail");
}

} // namespace
} // namespace consort::cli
