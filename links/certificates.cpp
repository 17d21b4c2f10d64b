// SPDX-License-Identifier: Apache-2.0
#include "links/certificates.hpp"

#include "links/limits.hpp"
#include "links/openssl.hpp"

#include <openssl/rand.h>

#include <array>
#include <ctime>

namespace consort::links {

namespace {

constexpr std::string_view authority_scheme = "consort://";
constexpr std::int64_t clock_leeway_s = 3'600; ///< Hosts' clocks differ; validity begins earlier.
constexpr std::size_t serial_bytes = 16;
constexpr long version_3 = 2; // X.509 counts versions from 0.

error bad_certificate(const std::string& what) {
  return {recovery::refuse, "bad_certificate", what + ": " + take_error()};
}

/// What differs between an authority and a leaf.
struct profile {
  std::string organization;
  std::string common_name;
  std::string uri;
  const char* constraints;
  const char* usage;
  const char* extended_usage; ///< Null = none.
  std::int64_t from_s;
  std::int64_t until_s;
};

bool add_name(X509_NAME* subject, const char* field, const std::string& text) {
  return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0)
         == 1;
}

/// `text` is in OpenSSL's configuration language; what goes into it is checked by valid_name().
bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const extension_ptr made(X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str()));
  return made && X509_add_ext(certificate, made.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  std::array<unsigned char, serial_bytes> random{};
  if (RAND_bytes(random.data(), random.size()) != 1)
    return false;
  random[0] = static_cast<unsigned char>((random[0] & 0x7FU) | 0x40U); // Positive, full length.
  const bignum_ptr number(BN_bin2bn(random.data(), random.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_time(ASN1_TIME* field, std::int64_t unix_s) {
  return ASN1_TIME_set(field, static_cast<std::time_t>(unix_s)) != nullptr;
}

bool fill(X509* certificate, X509* issuer, EVP_PKEY* key, const profile& wanted) {
  auto* const subject = X509_get_subject_name(certificate);
  return X509_set_version(certificate, version_3) == 1 && set_serial(certificate)
         && set_time(X509_getm_notBefore(certificate), wanted.from_s)
         && set_time(X509_getm_notAfter(certificate), wanted.until_s)
         && add_name(subject, "O", wanted.organization)
         && add_name(subject, "CN", wanted.common_name)
         && X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1
         && X509_set_pubkey(certificate, key) == 1
         && add_extension(certificate, issuer, NID_basic_constraints, wanted.constraints)
         && add_extension(certificate, issuer, NID_key_usage, wanted.usage)
         && (wanted.extended_usage == nullptr
             || add_extension(certificate, issuer, NID_ext_key_usage, wanted.extended_usage))
         && add_extension(certificate, issuer, NID_subject_alt_name, "URI:" + wanted.uri)
         && add_extension(certificate, issuer, NID_subject_key_identifier, "hash")
         && (issuer == certificate
             || add_extension(certificate, issuer, NID_authority_key_identifier, "keyid"));
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const auto bytes = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(bytes)};
}

result<key_pair> to_pem(X509* certificate, EVP_PKEY* key) {
  const bio_ptr certificate_text(BIO_new(BIO_s_mem()));
  const bio_ptr key_text(BIO_new(BIO_s_mem()));
  if (!certificate_text || !key_text || PEM_write_bio_X509(certificate_text.get(), certificate) != 1
      || PEM_write_bio_PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return bad_certificate("cannot write a certificate");
  return key_pair{text_of(certificate_text.get()), text_of(key_text.get())};
}

/// With no issuer the certificate signs itself.
result<key_pair> make(const profile& wanted, X509* issuer, EVP_PKEY* issuer_key) {
  const key_ptr key(EVP_EC_gen("P-256"));
  const x509_ptr certificate(X509_new());
  auto* const signer = issuer == nullptr ? certificate.get() : issuer;
  auto* const signing_key = issuer_key == nullptr ? key.get() : issuer_key;
  if (!key || !certificate || !fill(certificate.get(), signer, key.get(), wanted)
      || X509_sign(certificate.get(), signing_key, EVP_sha256()) == 0)
    return bad_certificate("cannot make a certificate");
  return to_pem(certificate.get(), key.get());
}

error bad_name(const std::string& name) {
  return {recovery::refuse, "bad_identity",
          "`" + name + "` cannot stand in a certificate; a name has 1 to "
              + std::to_string(limits::name_bytes_max) + " of A-Z a-z 0-9 . _ -"};
}

} // namespace

result<key_pair> make_authority(const std::string& cluster, std::int64_t valid_for_s) {
  const clean_errors scope;
  if (!valid_name(cluster))
    return bad_name(cluster);
  const std::int64_t now = std::time(nullptr);
  return make({cluster, "authority of " + cluster, std::string(authority_scheme) + cluster,
               "critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign", nullptr,
               now - clock_leeway_s, now + valid_for_s},
              nullptr, nullptr);
}

result<key_pair> issue(const key_pair& authority, const leaf_request& wanted) {
  const clean_errors scope;
  const auto cluster = cluster_of(authority.certificate);
  if (!cluster)
    return cluster.failure();
  if (!valid_name(wanted.name))
    return bad_name(wanted.name);
  const auto issuer = read_certificate(authority.certificate);
  const auto issuer_key = read_key(authority.key);
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1)
    return bad_certificate("the authority's key is not that of its certificate");
  const std::int64_t now = std::time(nullptr);
  const auto from = wanted.valid_from_s == 0 ? now - clock_leeway_s : wanted.valid_from_s;
  const auto base = wanted.valid_from_s == 0 ? now : wanted.valid_from_s;
  const auto uri = format_uri({*cluster, wanted.role, wanted.name, {}, 0});
  return make({*cluster, std::string(name_of(wanted.role)) + " " + wanted.name.substr(0, 48), uri,
               "critical,CA:FALSE", "critical,digitalSignature", "serverAuth,clientAuth", from,
               base + wanted.valid_for_s},
              issuer.get(), issuer_key.get());
}

result<peer_identity> inspect(std::string_view certificate_pem) {
  const clean_errors scope;
  const auto certificate = read_certificate(certificate_pem);
  if (!certificate)
    return error{recovery::refuse, "bad_certificate", "this is no certificate in PEM form"};
  return identity_of(certificate.get());
}

result<std::string> cluster_of(std::string_view authority_pem) {
  const clean_errors scope;
  const auto certificate = read_certificate(authority_pem);
  if (!certificate)
    return error{recovery::refuse, "bad_certificate",
                 "the authority is no certificate in PEM form"};
  const auto uris = uris_of(certificate.get());
  if (uris.size() != 1 || !uris.front().starts_with(authority_scheme)
      || !valid_name(std::string_view(uris.front()).substr(authority_scheme.size())))
    return error{recovery::refuse, "bad_certificate",
                 "this certificate names no cluster; make one with `consort cert init`"};
  return uris.front().substr(authority_scheme.size());
}

} // namespace consort::links
