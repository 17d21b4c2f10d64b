// SPDX-License-Identifier: Apache-2.0
// Who is believed, by handshakes in memory: no socket.
#include "links/credentials.hpp"

#include "links/limits.hpp"
#include "links/openssl.hpp"
#include "links/tls_error.hpp"
#include "tests/unit/links/test_cluster.hpp"

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

namespace consort::links {
namespace {

using namespace testing_support;
using boost::asio::ssl::context;
using testing::HasSubstr;
namespace fs = std::filesystem;

struct ssl_free {
  void operator()(SSL* owned) const { SSL_free(owned); }
};
using ssl_ptr = std::unique_ptr<SSL, ssl_free>;

/// Two ends that exchange their bytes in memory.
struct handshake {
  ssl_ptr server;
  ssl_ptr client;
  std::string server_failure; ///< Our code for what the serving end makes of it; empty = done.
  bool client_done = false;

  handshake(const tls_context& serving, const tls_context& dialling)
      : server(SSL_new(serving->native_handle())), client(SSL_new(dialling->native_handle())) {
    BIO* one = nullptr;
    BIO* two = nullptr;
    BIO_new_bio_pair(&one, 0, &two, 0);
    SSL_set_bio(server.get(), one, one);
    SSL_set_bio(client.get(), two, two);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    constexpr int rounds_max = 20;
    for (int round = 0; round < rounds_max && server_failure.empty(); ++round) {
      ERR_clear_error();
      client_done = SSL_do_handshake(client.get()) == 1;
      ERR_clear_error();
      const int answer = SSL_do_handshake(server.get());
      if (answer != 1 && SSL_get_error(server.get(), answer) == SSL_ERROR_SSL)
        server_failure = describe_handshake({static_cast<int>(ERR_get_error()),
                                             boost::asio::error::get_ssl_category()},
                                            server.get(), "peer")
                             .code;
      if (answer == 1 && client_done)
        break;
    }
    ERR_clear_error();
  }
};

class Credentials : public testing::Test {
protected:
  ~Credentials() override { EXPECT_EQ(ERR_peek_error(), 0U) << "an error was left in the queue"; }

  /// What a scheduler makes of a client with that leaf.
  std::string verdict_on(const key_pair* leaf) {
    const handshake both(scheduler_->server_context(),
                         context_of(context::tls_client, lab_.authority().certificate, leaf));
    if (!both.server_failure.empty())
      return both.server_failure;
    const auto who = scheduler_->identify(both.server.get());
    return who ? who->name : who.failure().code;
  }
  static std::string load_code(const fs::path& folder) {
    const auto loaded = credentials::load(folder);
    return loaded ? "" : loaded.failure().code;
  }

  test_cluster lab_;
  std::shared_ptr<credentials> scheduler_
      = lab_.credentials_of(peer_role::scheduler, "scheduler-1");
};

TEST_F(Credentials, BothEndsLearnWhoTheOtherIs) {
  const auto node = lab_.credentials_of(peer_role::node, "edge-1");
  const handshake both(scheduler_->server_context(), node->client_context());
  EXPECT_TRUE(both.client_done);
  EXPECT_EQ(both.server_failure, "");
  const auto seen = scheduler_->identify(both.server.get());
  ASSERT_TRUE(seen) << seen.failure().message;
  EXPECT_EQ(*seen, node->self());
  EXPECT_EQ(seen->role, peer_role::node);
  EXPECT_EQ(*node->identify(both.client.get()), scheduler_->self());
  EXPECT_STREQ(SSL_get_version(both.server.get()), "TLSv1.3");
}

/// A certificate with its key, made by hand: `consort cert` makes no chains.
struct signed_pair {
  x509_ptr certificate{X509_new()};
  key_ptr key{EVP_EC_gen("P-256")};
};

signed_pair certify(const std::string& name, const signed_pair* issuer, const char* constraints) {
  signed_pair made;
  auto* const own = made.certificate.get();
  const auto& by = issuer == nullptr ? made : *issuer;
  X509_set_version(own, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(own), 1);
  X509_gmtime_adj(X509_getm_notBefore(own), -60);
  X509_gmtime_adj(X509_getm_notAfter(own), 3'600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(own), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(own, X509_get_subject_name(by.certificate.get()));
  X509_set_pubkey(own, made.key.get());
  const extension_ptr basic(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, constraints));
  X509_add_ext(own, basic.get(), -1);
  EXPECT_GT(X509_sign(own, by.key.get(), EVP_sha256()), 0);
  return made;
}

TEST_F(Credentials, AChainIsFollowedSoFarAndNoFurther) {
  const auto root = certify("root", nullptr, "critical,CA:TRUE");
  const auto server = scheduler_->server_context();
  X509_STORE_add_cert(SSL_CTX_get_cert_store(server->native_handle()), root.certificate.get());
  const auto verdict = [&](int between) {
    const auto dialling = context_of(context::tls_client, lab_.authority().certificate, nullptr);
    auto* const own = dialling->native_handle();
    std::vector<signed_pair> above;
    for (int at = 0; at < between; ++at)
      above.push_back(certify("authority " + std::to_string(at), at == 0 ? &root : &above.back(),
                              "critical,CA:TRUE"));
    const auto leaf = certify("leaf", &above.back(), "critical,CA:FALSE");
    SSL_CTX_use_certificate(own, leaf.certificate.get());
    SSL_CTX_use_PrivateKey(own, leaf.key.get());
    for (const auto& one : above)
      SSL_CTX_add1_chain_cert(own, one.certificate.get());
    return handshake(server, dialling).server_failure;
  };
  EXPECT_EQ(verdict(limits::chain_depth_max), "");
  EXPECT_EQ(verdict(limits::chain_depth_max + 1), "foreign_certificate");
}

TEST_F(Credentials, OldProtocolsAreNotSpoken) {
  const auto leaf = issue(lab_.authority(), {.name = "old"});
  const auto old = context_of(context::tls_client, lab_.authority().certificate, &*leaf);
  SSL_CTX_set_security_level(old->native_handle(), 0);
  SSL_CTX_set_max_proto_version(old->native_handle(), TLS1_1_VERSION);
  EXPECT_EQ(handshake(scheduler_->server_context(), old).server_failure, "tls_failed");
  SSL_CTX_set_max_proto_version(old->native_handle(), TLS1_2_VERSION);
  EXPECT_EQ(handshake(scheduler_->server_context(), old).server_failure, "");
}

TEST_F(Credentials, NoSessionIsResumed) {
  const auto node = lab_.credentials_of(peer_role::node, "edge-1");
  const handshake first(scheduler_->server_context(), node->client_context());
  std::array<char, 1> none{};
  SSL_read(first.client.get(), none.data(), none.size()); // Tickets would arrive here.
  ERR_clear_error();
  const auto* const session = SSL_get_session(first.client.get());
  EXPECT_EQ(SSL_SESSION_is_resumable(session), 0)
      << "a resumed session would skip the certificate's check";
}

TEST_F(Credentials, WhatIsShownWasFoundOnceAndIsNoRoot) {
  auto* const own = scheduler_->server_context()->native_handle();
  STACK_OF(X509)* above = nullptr;
  ASSERT_EQ(SSL_CTX_get0_chain_certs(own, &above), 1);
  ASSERT_NE(above, nullptr) << "it would be looked for at each handshake";
  EXPECT_EQ(sk_X509_num(above), 0) << "everybody has the root";
  const auto node = lab_.credentials_of(peer_role::node, "edge-1");
  const handshake done(scheduler_->server_context(), node->client_context());
  EXPECT_TRUE(done.client_done);
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(done.client.get())), 1);
}

TEST_F(Credentials, AnotherClustersCertificateIsForeign) {
  const test_cluster other("other");
  const auto foreign = issue(other.authority(), {.name = "edge-1"});
  EXPECT_EQ(verdict_on(&*foreign), "foreign_certificate");
  const test_cluster namesake("lab");
  const auto forged = issue(namesake.authority(), {.name = "edge-1"});
  EXPECT_EQ(verdict_on(&*forged), "foreign_certificate") << "the same name proves nothing";
}

TEST_F(Credentials, ATrustedAuthorityOfAnotherClusterIsStillForeign) {
  const test_cluster other("other");
  const auto both = lab_.authority().certificate + other.authority().certificate;
  const auto folder = lab_.folder_of(peer_role::scheduler, "wide");
  std::ofstream(folder / authority_file) << both;
  const auto wide = credentials::load(folder);
  ASSERT_TRUE(wide) << wide.failure().message;
  const auto leaf = issue(other.authority(), {.name = "edge-1"});
  const handshake made((*wide)->server_context(), context_of(context::tls_client, both, &*leaf));
  EXPECT_EQ(made.server_failure, "") << "the chain is in order";
  EXPECT_EQ((*wide)->identify(made.server.get()).failure().code, "foreign_certificate");
}

TEST_F(Credentials, AnExpiredCertificateIsRefused) {
  const auto old = issue(lab_.authority(),
                         {.name = "edge-1", .valid_for_s = 60, .valid_from_s = 1'600'000'000});
  EXPECT_EQ(verdict_on(&*old), "certificate_expired");
}

TEST_F(Credentials, APeerWithoutACertificateIsRefused) {
  EXPECT_EQ(verdict_on(nullptr), "no_certificate");
  EXPECT_EQ(scheduler_->identify(nullptr).failure().code, "no_certificate");
}

TEST_F(Credentials, AnAuthoritysOwnCertificateIsNobody) {
  EXPECT_NE(verdict_on(&lab_.authority()), "") << "whatever OpenSSL thinks of its purpose";
  EXPECT_EQ(inspect(lab_.authority().certificate).failure().code, "bad_identity");
}

TEST_F(Credentials, RevocationCountsAtOnce) {
  const auto leaf = issue(lab_.authority(), {.name = "edge-1"});
  EXPECT_EQ(verdict_on(&*leaf), "edge-1");
  const auto serial = inspect(leaf->certificate)->serial;
  scheduler_->revoke({serial});
  EXPECT_TRUE(scheduler_->revoked(serial));
  EXPECT_EQ(verdict_on(&*leaf), "certificate_revoked");
  const auto other = issue(lab_.authority(), {.name = "edge-1"});
  EXPECT_EQ(verdict_on(&*other), "edge-1") << "a new certificate for the same name is fine";
}

TEST_F(Credentials, RevocationsOfTheFileCountAfterAReload) {
  const auto leaf = issue(lab_.authority(), {.name = "edge-1"});
  const auto serial = inspect(leaf->certificate)->serial;
  ASSERT_TRUE(add_revoked(lab_.folder_of(peer_role::scheduler, "scheduler-1"), {serial}));
  EXPECT_FALSE(scheduler_->revoked(serial));
  ASSERT_TRUE(scheduler_->reload());
  EXPECT_EQ(verdict_on(&*leaf), "certificate_revoked");
}

TEST_F(Credentials, RotationServesOldStreamsAndNewOnes) {
  const auto node = lab_.credentials_of(peer_role::node, "edge-1");
  const auto before = scheduler_->self();
  const auto old_context = scheduler_->server_context();
  lab_.renew(peer_role::scheduler, "scheduler-1");
  ASSERT_TRUE(scheduler_->reload());
  EXPECT_NE(scheduler_->self().serial, before.serial);
  const handshake begun_before(old_context, node->client_context());
  EXPECT_EQ(node->identify(begun_before.client.get())->serial, before.serial);
  const handshake begun_after(scheduler_->server_context(), node->client_context());
  EXPECT_EQ(node->identify(begun_after.client.get())->serial, scheduler_->self().serial);
}

TEST_F(Credentials, AReloadThatFailsChangesNothing) {
  const auto before = scheduler_->self();
  const auto folder = lab_.folder_of(peer_role::scheduler, "scheduler-1");
  std::ofstream(folder / certificate_file) << "half a certif";
  EXPECT_EQ(scheduler_->reload().failure().code, "bad_certificate");
  EXPECT_EQ(scheduler_->self(), before);
  const auto leaf = issue(lab_.authority(), {.name = "edge-1"});
  EXPECT_EQ(verdict_on(&*leaf), "edge-1");
}

// --- what load() refuses ---

TEST_F(Credentials, AMissingFileIsNamed) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  fs::remove(folder / key_file);
  const auto loaded = credentials::load(folder);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.failure().code, "no_credentials");
  EXPECT_THAT(loaded.failure().message, HasSubstr("key.pem"));
}

TEST_F(Credentials, AKeyThatOthersMayReadIsRefused) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  fs::permissions(folder / key_file, fs::perms::group_read, fs::perm_options::add);
  const auto loaded = credentials::load(folder);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.failure().code, "key_exposed");
  EXPECT_THAT(loaded.failure().message, HasSubstr("chmod 600"));
}

TEST_F(Credentials, AKeyOfAnotherCertificateIsRefused) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  std::ofstream(folder / key_file) << issue(lab_.authority(), {.name = "m"})->key;
  EXPECT_EQ(load_code(folder), "bad_certificate");
}

TEST_F(Credentials, OnesOwnExpiredCertificateIsRefused) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  const auto old
      = issue(lab_.authority(), {.name = "n", .valid_for_s = 60, .valid_from_s = 1'600'000'000});
  ASSERT_TRUE(write_leaf(folder, lab_.authority().certificate, *old));
  EXPECT_EQ(load_code(folder), "certificate_expired");
}

TEST_F(Credentials, ACertificateOfAnotherAuthorityIsRefused) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  const test_cluster other("lab");
  ASSERT_TRUE(
      write_leaf(folder, lab_.authority().certificate, *issue(other.authority(), {.name = "n"})));
  EXPECT_EQ(load_code(folder), "foreign_certificate");
}

TEST_F(Credentials, ABadRevocationListIsRefused) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  std::ofstream(folder / revoked_file) << "no serial\n";
  EXPECT_EQ(load_code(folder), "bad_revocation");
}

/// To open one waits for whoever writes it.
TEST_F(Credentials, APipeIsRefusedAtOnce) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  ASSERT_EQ(::mkfifo((folder / revoked_file).c_str(), 0600), 0);
  EXPECT_EQ(load_code(folder), "bad_revocation");
  EXPECT_FALSE(add_revoked(folder, {"abcdef"}));
  std::filesystem::remove(folder / revoked_file);
  for (const auto name : {authority_file, certificate_file, key_file}) {
    std::filesystem::rename(folder / name, folder / "kept");
    ASSERT_EQ(::mkfifo((folder / name).c_str(), 0600), 0);
    const auto loaded = credentials::load(folder);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.failure().message, (folder / name).string() + " is no regular file");
    std::filesystem::rename(folder / "kept", folder / name);
  }
  EXPECT_EQ(load_code(folder), "");
}

/// An empty list would let in everybody who was shut out, and the next revocation would keep it so.
TEST_F(Credentials, AnUnreadableRevocationListIsNoEmptyOne) {
  const auto folder = lab_.folder_of(peer_role::node, "n");
  std::filesystem::create_directory(folder / revoked_file); // What even root cannot read as a file.
  EXPECT_EQ(load_code(folder), "bad_revocation");
  EXPECT_FALSE(add_revoked(folder, {"abcdef"}));
  std::filesystem::remove(folder / revoked_file);
  EXPECT_EQ(load_code(folder), "");
}

} // namespace
} // namespace consort::links
