// SPDX-License-Identifier: Apache-2.0
// `consort cert` and `consort token` on real folders.
#include "cli/authority_folder.hpp"
#include "cli/join_token.hpp"
#include "links/credentials.hpp"
#include "tests/unit/cli/command_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using testing::HasSubstr;

class CertTest : public testing::Test {
protected:
  CertTest() {
    char pattern[] = "/tmp/consort-cert-XXXXXX";
    home_ = mkdtemp(pattern);
  }
  ~CertTest() override { fs::remove_all(home_); }

  [[nodiscard]] std::string authority() const { return (home_ / "ca").string(); }
  command_run cert(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "cert");
    arguments.insert(arguments.end(), {"--dir", authority()});
    return run_command(std::move(arguments));
  }
  void make_authority() const {
    const auto made = cert({"init", "--cluster", "lab"});
    ASSERT_EQ(made.code, exit_code::done) << made.err;
  }
  [[nodiscard]] json shown(const std::string& name) const {
    const auto listed = json::parse(cert({"show", "-o", "json"}).out);
    for (const auto& row : listed["certificates"])
      if (row["name"] == name)
        return row;
    return {};
  }

  fs::path home_;
};

mode_t mode_of(const fs::path& file) {
  struct stat about {};
  return ::stat(file.c_str(), &about) == 0 ? about.st_mode & 0777U : 0;
}

TEST_F(CertTest, InitMakesAnAuthorityOnceAndKeepsItsKeyPrivate) {
  make_authority();
  EXPECT_EQ(mode_of(fs::path(authority()) / "ca-key.pem"), 0600U);
  const auto again = cert({"init"});
  EXPECT_EQ(again.code, exit_code::failed);
  EXPECT_THAT(again.err, HasSubstr("exists"));
  EXPECT_EQ(run_command({"cert", "init", "--dir", authority() + "2", "--cluster", "a b"}).code,
            exit_code::usage);
}

TEST_F(CertTest, WithoutAnAuthorityItSaysHowToMakeOne) {
  const auto lost = cert({"node", "edge-1"});
  EXPECT_EQ(lost.code, exit_code::failed);
  EXPECT_THAT(lost.err, HasSubstr("consort cert init"));
}

TEST_F(CertTest, ANodesFolderLoadsAndSaysHowToJoin) {
  make_authority();
  const auto made = cert({"node", "edge-1", "--days", "40"});
  ASSERT_EQ(made.code, exit_code::done) << made.err;
  EXPECT_THAT(made.out,
              HasSubstr("  CONSORT_TOKEN=TOKEN consort node --join SCHEDULER:4280 --cert edge-1"));
  EXPECT_EQ(made.out.find("--token"), std::string::npos);
  EXPECT_THAT(made.out, HasSubstr("consort token"));
  const auto loaded = links::credentials::load(fs::path(authority()) / "edge-1");
  ASSERT_TRUE(loaded.ok()) << loaded.failure().message;
  EXPECT_EQ((*loaded)->self().role, links::peer_role::node);
  EXPECT_EQ((*loaded)->self().cluster, "lab");
}

TEST_F(CertTest, EveryRoleHasItsCommand) {
  make_authority();
  for (const auto* role : {"node", "gateway", "scheduler", "admin"}) {
    const auto made = cert({role, std::string("a-") + role});
    EXPECT_EQ(made.code, exit_code::done) << made.err;
    EXPECT_EQ(shown(std::string("a-") + role)["role"], role);
  }
}

TEST_F(CertTest, ANameIsIssuedOnceAndMustFitAFolder) {
  make_authority();
  EXPECT_EQ(cert({"node", "edge-1"}).code, exit_code::done);
  EXPECT_THAT(cert({"gateway", "edge-1"}).err, HasSubstr("consort cert renew edge-1"));
  for (const auto* wrong : {"..", ".hidden", "a/b", "ca.pem", "revoked.txt", ""})
    EXPECT_EQ(cert({"node", wrong}).code, exit_code::usage) << wrong;
}

TEST_F(CertTest, DaysHaveTheirLimits) {
  make_authority();
  EXPECT_EQ(cert({"node", "a", "--days", "0"}).code, exit_code::usage);
  EXPECT_EQ(cert({"node", "a", "--days", std::to_string(days_max + 1)}).code, exit_code::usage);
  EXPECT_EQ(cert({"node", "a", "--days", std::to_string(days_max)}).code, exit_code::done);
}

TEST_F(CertTest, ShowWarnsOfAnEndThatIsNear) {
  make_authority();
  ASSERT_EQ(cert({"node", "soon", "--days", "29"}).code, exit_code::done);
  ASSERT_EQ(cert({"node", "later", "--days", "31"}).code, exit_code::done);
  EXPECT_TRUE(shown("soon")["expires_soon"].get<bool>());
  EXPECT_FALSE(shown("later")["expires_soon"].get<bool>());
  EXPECT_THAT(cert({"show"}).out, HasSubstr("expires in 2"));
  const auto one = run_command({"cert", "show", authority() + "/soon/cert.pem"});
  EXPECT_THAT(one.out, HasSubstr("soon"));
  EXPECT_EQ(one.out.find("later"), std::string::npos);
}

TEST_F(CertTest, ShowNamesAFileThatIsNoCertificate) {
  std::ofstream(home_ / "x.pem") << "hello";
  const auto wrong = run_command({"cert", "show", (home_ / "x.pem").string()});
  EXPECT_EQ(wrong.code, exit_code::failed);
  EXPECT_THAT(wrong.err, HasSubstr("x.pem"));
  EXPECT_EQ(run_command({"cert", "show", (home_ / "none").string()}).code, exit_code::failed);
}

TEST_F(CertTest, RevokingANameEndsWhatItEverGot) {
  make_authority();
  ASSERT_EQ(cert({"scheduler", "main"}).code, exit_code::done);
  ASSERT_EQ(cert({"node", "edge-1"}).code, exit_code::done);
  const auto first = shown("edge-1")["serial"].get<std::string>();
  ASSERT_EQ(cert({"renew", "edge-1"}).code, exit_code::done);
  const auto second = shown("edge-1")["serial"].get<std::string>();
  EXPECT_NE(first, second);
  const auto scheduler = links::credentials::load(fs::path(authority()) / "main");
  ASSERT_TRUE(scheduler.ok());
  EXPECT_EQ(cert({"revoke", "edge-1"}).code, exit_code::done);
  EXPECT_EQ(shown("edge-1")["state"], "revoked");
  ASSERT_TRUE((*scheduler)->reload().ok());
  EXPECT_TRUE((*scheduler)->revoked(first));
  EXPECT_TRUE((*scheduler)->revoked(second));
  EXPECT_FALSE((*scheduler)->revoked(shown("main")["serial"].get<std::string>()));
}

TEST_F(CertTest, ARevokedNameComesBackByRenewalAndTellsLaterFolders) {
  make_authority();
  ASSERT_EQ(cert({"node", "edge-1"}).code, exit_code::done);
  const auto old = shown("edge-1")["serial"].get<std::string>();
  ASSERT_EQ(cert({"revoke", old}).code, exit_code::done);
  ASSERT_EQ(cert({"renew", "edge-1"}).code, exit_code::done);
  EXPECT_EQ(shown("edge-1")["state"], "valid");
  ASSERT_EQ(cert({"scheduler", "late"}).code, exit_code::done);
  const auto late = links::credentials::load(fs::path(authority()) / "late");
  ASSERT_TRUE(late.ok());
  EXPECT_TRUE((*late)->revoked(old));
}

TEST_F(CertTest, AStrangersNameCannotBeRevokedButItsSerialCan) {
  make_authority();
  const auto unknown = cert({"revoke", "edge-9"});
  EXPECT_EQ(unknown.code, exit_code::failed);
  EXPECT_THAT(unknown.err, HasSubstr("consort cert show"));
  EXPECT_EQ(cert({"revoke", "0123456789abcdef"}).code, exit_code::done);
  EXPECT_EQ(cert({"renew", "edge-9"}).code, exit_code::failed);
}

TEST_F(CertTest, ADamagedLogIsNamedWithItsLine) {
  make_authority();
  std::ofstream(fs::path(authority()) / "issued.txt") << "00 node a 1\nrubbish\n";
  EXPECT_THAT(cert({"revoke", "a"}).err, HasSubstr("issued.txt:2"));
}

TEST_F(CertTest, ALogOverItsLimitIsRefused) {
  make_authority();
  std::ofstream log(fs::path(authority()) / "issued.txt");
  for (std::size_t at = 0; at <= issued_max; ++at)
    log << "00 node a 1\n";
  log.close();
  EXPECT_THAT(cert({"revoke", "a"}).err, HasSubstr("more than"));
}

TEST_F(CertTest, ANameMeansItsFolderBelowTheAuthority) {
  make_authority();
  ASSERT_EQ(cert({"node", "edge-1"}).code, exit_code::done);
  const auto issued = (fs::path(authority()) / "edge-1").string();
  EXPECT_EQ(*find_credentials("edge-1", authority()), issued);
  EXPECT_EQ(*find_credentials(issued, authority()), issued);
  EXPECT_EQ(*find_credentials("", authority()), "") << "none was named";
  const auto other = find_credentials("edge-2", authority());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.failure().code, "no_credentials");
  EXPECT_THAT(other.failure().message, HasSubstr("no folder edge-2"));
  EXPECT_THAT(other.failure().message, HasSubstr((fs::path(authority()) / "edge-2").string()));
  EXPECT_FALSE(find_credentials("/nonexist/edge-1", authority()));
}

TEST_F(CertTest, TheTokenStaysUntilItIsRotated) {
  const auto data = home_.string() + "/data";
  const auto first = run_command({"token", "--data", data});
  EXPECT_EQ(first.code, exit_code::done) << first.err;
  EXPECT_EQ(first.out.size(), 2 * join_token_bytes + 1);
  EXPECT_THAT(first.err, HasSubstr("no scheduler has had a token in " + data));
  const auto second = run_command({"token", "--data", data});
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(second.err, "");
  EXPECT_EQ(mode_of(data + "/join-token"), 0600U);
  const auto rotated = run_command({"token", "--rotate", "--data", data});
  EXPECT_NE(rotated.out, first.out);
  EXPECT_THAT(rotated.err, HasSubstr("restart the scheduler"));
  EXPECT_EQ(run_command({"token", "--data", data}).out, rotated.out);
}

TEST_F(CertTest, AFileThatIsNoTokenIsNotTakenForOne) {
  std::ofstream(home_ / "join-token") << std::string(join_token_file_bytes_max + 1, 'x');
  const auto wrong = run_command({"token", "--data", home_.string()});
  EXPECT_EQ(wrong.code, exit_code::failed);
  EXPECT_THAT(wrong.err, HasSubstr("holds no join token"));
}

} // namespace
} // namespace consort::cli
