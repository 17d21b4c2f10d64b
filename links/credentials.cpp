// SPDX-License-Identifier: Apache-2.0
#include "links/credentials.hpp"

#include "links/certificates.hpp"
#include "links/credential_files.hpp"
#include "links/limits.hpp"
#include "links/openssl.hpp"
#include "links/refusal.hpp"

#include <boost/asio/buffer.hpp>

#include <ctime>

namespace consort::links {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace fs = std::filesystem;

namespace {

struct folder_texts {
  std::string authority;
  std::string certificate;
  std::string key;
};

result<folder_texts> read_texts(const fs::path& folder) {
  if (others_may_read(folder / key_file))
    return refuse("key_exposed",
                  (folder / key_file).string() + " is open to others; protect it with chmod 600");
  folder_texts texts;
  for (const auto& [name, text] :
       {std::pair(authority_file, &texts.authority),
        std::pair(certificate_file, &texts.certificate), std::pair(key_file, &texts.key)}) {
    auto content = read_bounded(folder / name);
    if (!content)
      return content.failure();
    *text = std::move(*content);
  }
  return texts;
}

/// Whether our own certificate would convince others: now, by this authority.
result<done> check_own(SSL_CTX* trusting, const fs::path& file) {
  const store_context_ptr context(X509_STORE_CTX_new());
  if (!context
      || X509_STORE_CTX_init(context.get(), SSL_CTX_get_cert_store(trusting),
                             SSL_CTX_get0_certificate(trusting), nullptr)
             != 1)
    return refuse("bad_certificate", "cannot check " + file.string() + ": " + take_error());
  if (X509_verify_cert(context.get()) == 1)
    return done{};
  const auto why = X509_STORE_CTX_get_error(context.get());
  if (why == X509_V_ERR_CERT_HAS_EXPIRED)
    return refuse("certificate_expired", file.string() + " has expired; issue a new one");
  return refuse("foreign_certificate", file.string() + " is not of the authority beside it: "
                                           + X509_verify_cert_error_string(why));
}

void harden(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A resumed session would skip the certificate, and with it expiry and revocation.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(context, limits::chain_depth_max);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

/// Finds what stands between our certificate and the root now: left to itself, OpenSSL would look
/// for it, and check its signatures, at each handshake. A file that names it needs no search;
/// whether all of it is in order, check_own() says.
void settle_chain(SSL_CTX* context) {
  STACK_OF(X509)* named = nullptr;
  SSL_CTX_get_extra_chain_certs_only(context, &named);
  if (named == nullptr)
    (void)SSL_CTX_build_cert_chain(context, SSL_BUILD_CHAIN_FLAG_NO_ROOT);
}

result<tls_context> make_context(ssl::context::method method, const folder_texts& texts) {
  boost::system::error_code failed;
  const auto context = std::make_shared<ssl::context>(method);
  SSL_CTX_set_default_passwd_cb(context->native_handle(), no_passphrase);
  context->add_certificate_authority(asio::buffer(texts.authority), failed);
  if (!failed)
    context->use_certificate_chain(asio::buffer(texts.certificate), failed);
  if (!failed)
    context->use_private_key(asio::buffer(texts.key), ssl::context::pem, failed);
  if (failed || SSL_CTX_check_private_key(context->native_handle()) != 1)
    return refuse("bad_certificate", "cannot use these certificates: "
                                         + (failed ? failed.message() : "the key is another's"));
  settle_chain(context->native_handle());
  harden(context->native_handle());
  return context;
}

} // namespace

result<credentials::material> credentials::read(const fs::path& folder) {
  const clean_errors scope;
  const auto texts = read_texts(folder);
  if (!texts)
    return texts.failure();
  const auto cluster = cluster_of(texts->authority);
  if (!cluster)
    return cluster.failure();
  const auto self = inspect(texts->certificate);
  if (!self)
    return self.failure();
  if (self->cluster != *cluster)
    return refuse("foreign_certificate", "the authority is of cluster `" + *cluster
                                             + "`, the certificate of `" + self->cluster + "`");
  auto revoked = read_revoked(folder);
  if (!revoked)
    return revoked.failure();
  auto server = make_context(ssl::context::tls_server, *texts);
  if (!server)
    return server.failure();
  if (const auto checked = check_own((*server)->native_handle(), folder / certificate_file);
      !checked)
    return checked.failure();
  auto client = make_context(ssl::context::tls_client, *texts);
  if (!client)
    return client.failure();
  return material{*self, std::move(*server), std::move(*client), std::move(*revoked)};
}

result<std::shared_ptr<credentials>> credentials::load(fs::path folder) {
  std::shared_ptr<credentials> made(new credentials(std::move(folder)));
  if (const auto adopted = made->reload(); !adopted)
    return adopted.failure();
  return made;
}

result<done> credentials::reload() {
  try {
    auto read_now = read(folder_);
    if (!read_now)
      return read_now.failure();
    adopt(std::move(*read_now));
    return done{};
  } catch (const std::exception& failure) { // Asio's context and the filesystem may throw.
    return refuse("bad_certificate", folder_.string() + ": " + failure.what());
  }
}

void credentials::adopt(material read) {
  const std::lock_guard lock(mutex_);
  revoked_.insert(read.revoked.begin(), read.revoked.end());
  read.revoked.clear();
  now_ = std::move(read);
}

tls_context credentials::server_context() const {
  const std::lock_guard lock(mutex_);
  return now_.server;
}

tls_context credentials::client_context() const {
  const std::lock_guard lock(mutex_);
  return now_.client;
}

peer_identity credentials::self() const {
  const std::lock_guard lock(mutex_);
  return now_.self;
}

void credentials::revoke(const std::vector<std::string>& serials) {
  const std::lock_guard lock(mutex_);
  revoked_.insert(serials.begin(), serials.end());
}

bool credentials::revoked(const std::string& serial) const {
  const std::lock_guard lock(mutex_);
  return revoked_.contains(serial);
}

result<peer_identity> credentials::identify(SSL* connection) const {
  const clean_errors scope;
  const x509_ptr certificate(connection == nullptr ? nullptr
                                                   : SSL_get1_peer_certificate(connection));
  if (!certificate || SSL_get_verify_result(connection) != X509_V_OK)
    return refuse("no_certificate", "the peer showed no certificate of this cluster");
  auto identity = identity_of(certificate.get());
  if (!identity)
    return identity;
  if (const auto own = self().cluster; identity->cluster != own)
    return refuse("foreign_certificate", "this is cluster `" + own + "`, the certificate is of `"
                                             + identity->cluster + "`");
  if (identity->not_after <= std::time(nullptr))
    return refuse("certificate_expired", "the certificate of `" + identity->name + "` has expired");
  if (revoked(identity->serial))
    return refuse("certificate_revoked", "the certificate " + identity->serial + " of `"
                                             + identity->name + "` is revoked");
  return identity;
}

} // namespace consort::links
