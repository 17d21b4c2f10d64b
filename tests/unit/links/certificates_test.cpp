// SPDX-License-Identifier: Apache-2.0
#include "links/certificates.hpp"

#include "links/limits.hpp"
#include "tests/unit/links/test_cluster.hpp"

#include <gmock/gmock.h>
#include <openssl/err.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>

namespace consort::links {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Certificates : public testing::Test {
protected:
  ~Certificates() override { EXPECT_EQ(ERR_peek_error(), 0U) << "an error was left in the queue"; }

  static fs::perms mode_of(const fs::path& file) { return fs::status(file).permissions(); }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(folder_.path() / name) << text;
  }

  temporary_folder folder_;
  key_pair authority_ = *make_authority("lab");
};

TEST_F(Certificates, AnAuthorityNamesItsCluster) {
  const auto cluster = cluster_of(authority_.certificate);
  ASSERT_TRUE(cluster) << cluster.failure().message;
  EXPECT_EQ(*cluster, "lab");
  EXPECT_THAT(authority_.key, HasSubstr("PRIVATE KEY"));
}

TEST_F(Certificates, ALeafNamesItsHolder) {
  const auto leaf = issue(authority_, {.role = peer_role::gateway, .name = "front-1"});
  ASSERT_TRUE(leaf) << leaf.failure().message;
  const auto identity = inspect(leaf->certificate);
  ASSERT_TRUE(identity) << identity.failure().message;
  EXPECT_EQ(identity->cluster, "lab");
  EXPECT_EQ(identity->role, peer_role::gateway);
  EXPECT_EQ(identity->name, "front-1");
  EXPECT_THAT(identity->serial, testing::MatchesRegex("[0-9a-f]{32}"));
  const auto expected_end = std::time(nullptr) + leaf_valid_s;
  EXPECT_NEAR(static_cast<double>(identity->not_after), static_cast<double>(expected_end), 60);
}

TEST_F(Certificates, EverySerialIsNew) {
  const auto one = issue(authority_, {.name = "n"});
  const auto two = issue(authority_, {.name = "n"});
  EXPECT_NE(inspect(one->certificate)->serial, inspect(two->certificate)->serial);
  EXPECT_NE(one->key, two->key);
}

TEST_F(Certificates, ValidityIsAsAsked) {
  const auto leaf = issue(authority_, {.name = "n", .valid_for_s = 60, .valid_from_s = 1'000'000});
  EXPECT_EQ(inspect(leaf->certificate)->not_after, 1'000'060);
}

TEST_F(Certificates, NamesThatDoNotFitAreRefused) {
  for (const auto& name : {std::string(), std::string("a/b"), std::string("x,DNS:evil"),
                           std::string(limits::name_bytes_max + 1, 'n')}) {
    const auto leaf = issue(authority_, {.name = name});
    ASSERT_FALSE(leaf) << name;
    EXPECT_EQ(leaf.failure().code, "bad_identity");
    EXPECT_FALSE(make_authority(name));
  }
  EXPECT_TRUE(issue(authority_, {.name = std::string(limits::name_bytes_max, 'n')}));
}

TEST_F(Certificates, AnotherAuthoritysKeySignsNothing) {
  const auto other = *make_authority("lab");
  const auto leaf = issue({authority_.certificate, other.key}, {.name = "n"});
  ASSERT_FALSE(leaf);
  EXPECT_EQ(leaf.failure().code, "bad_certificate");
}

TEST_F(Certificates, WhatIsNoCertificateSaysSo) {
  for (const auto& text : {std::string(), std::string("hello"), authority_.key,
                           authority_.certificate.substr(0, authority_.certificate.size() / 2)}) {
    const auto read = inspect(text);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.failure().code, "bad_certificate");
  }
  EXPECT_EQ(inspect(authority_.certificate).failure().code, "bad_identity") << "no leaf";
  EXPECT_FALSE(cluster_of(issue(authority_, {.name = "n"})->certificate)) << "no authority";
}

TEST_F(Certificates, FilesAreTheOwnersOnly) {
  ASSERT_TRUE(write_authority(folder_.path() / "ca", authority_));
  const auto leaf = *issue(authority_, {.name = "n"});
  ASSERT_TRUE(write_leaf(folder_.path() / "n", authority_.certificate, leaf));
  constexpr auto owner = fs::perms::owner_read | fs::perms::owner_write;
  for (const auto* file : {"ca/ca.pem", "ca/ca-key.pem", "n/ca.pem", "n/cert.pem", "n/key.pem"})
    EXPECT_EQ(mode_of(folder_.path() / file), owner) << file;
  const auto read = read_authority(folder_.path() / "ca");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->certificate, authority_.certificate);
  EXPECT_EQ(read->key, authority_.key);
}

TEST_F(Certificates, AnAuthorityIsNeverReplaced) {
  ASSERT_TRUE(write_authority(folder_.path(), authority_));
  const auto again = write_authority(folder_.path(), *make_authority("lab"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.failure().code, "already_there");
  EXPECT_EQ(read_authority(folder_.path())->key, authority_.key);
}

TEST_F(Certificates, AnAuthorityThatIsNotThereIsNamed) {
  const auto read = read_authority(folder_.path());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.failure().code, "no_credentials");
  EXPECT_THAT(read.failure().message, HasSubstr("ca.pem"));
}

TEST_F(Certificates, AFileOverTheLimitIsNotRead) {
  write(authority_file, std::string(limits::pem_bytes_max + 1, 'x'));
  write(authority_key_file, "");
  const auto read = read_authority(folder_.path());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.failure().code, "bad_certificate");
}

TEST_F(Certificates, AFolderThatCannotBeWrittenSaysSo) {
  write("file", "");
  const auto written = write_leaf(folder_.path() / "file", authority_.certificate, authority_);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.failure().code, "cannot_write");
}

TEST_F(Certificates, RevokedSerialsAreKeptOnceEach) {
  EXPECT_THAT(*read_revoked(folder_.path()), ElementsAre()) << "no file, nobody revoked";
  ASSERT_TRUE(add_revoked(folder_.path(), {"1f", "2a"}));
  ASSERT_TRUE(add_revoked(folder_.path(), {"2a", "3b"}));
  EXPECT_THAT(*read_revoked(folder_.path()), ElementsAre("1f", "2a", "3b"));
  EXPECT_EQ(add_revoked(folder_.path(), {"not hex"}).failure().code, "bad_revocation");
}

TEST_F(Certificates, ARevocationThatMakesNoSenseIsAnErrorWithItsLine) {
  write(revoked_file, "# comment\n1f  # of edge-3\n\nXYZ\n");
  const auto read = read_revoked(folder_.path());
  ASSERT_FALSE(read) << "to ignore it would let the revoked one in";
  EXPECT_EQ(read.failure().code, "bad_revocation");
  EXPECT_THAT(read.failure().message, HasSubstr("revoked.txt:4"));
}

TEST_F(Certificates, RevocationsReachTheirMost) {
  std::vector<std::string> serials;
  for (std::size_t at = 0; at < limits::revoked_max; ++at) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%zx", at);
    serials.emplace_back(text.data());
  }
  std::string file;
  for (const auto& serial : serials)
    file += serial + "\n";
  write(revoked_file, file);
  EXPECT_EQ(read_revoked(folder_.path())->size(), limits::revoked_max);
  write(revoked_file, file + "ffffff\n");
  EXPECT_EQ(read_revoked(folder_.path()).failure().code, "bad_revocation");
}

} // namespace
} // namespace consort::links
