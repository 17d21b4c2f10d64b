// SPDX-License-Identifier: Apache-2.0
#pragma once
/// OpenSSL's objects with owners, and its error queue kept empty. Private to links/.

#include "links/identity.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <vector>

namespace consort::links {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* owned) const {
    Free(owned);
  }
};

using x509_ptr = std::unique_ptr<X509, freed_by<X509_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using bio_ptr = std::unique_ptr<BIO, freed_by<BIO_free_all>>;
using bignum_ptr = std::unique_ptr<BIGNUM, freed_by<BN_free>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, freed_by<X509_EXTENSION_free>>;
using names_ptr = std::unique_ptr<GENERAL_NAMES, freed_by<GENERAL_NAMES_free>>;
using store_context_ptr = std::unique_ptr<X509_STORE_CTX, freed_by<X509_STORE_CTX_free>>;

/// Leaves the thread's error queue empty, whatever happens in between: Asio reads the same queue.
class clean_errors {
public:
  clean_errors() { ERR_clear_error(); }
  ~clean_errors() { ERR_clear_error(); }
  clean_errors(const clean_errors&) = delete;
  clean_errors& operator=(const clean_errors&) = delete;
};

/// The latest error in words, or `unknown`. Empties the queue.
[[nodiscard]] std::string take_error();

/// For OpenSSL's passphrase callback: a key that has one is refused, not asked about on the
/// terminal.
int no_passphrase(char* buffer, int size, int writing, void* context);

/// The first certificate of a PEM text; null when there is none.
[[nodiscard]] x509_ptr read_certificate(std::string_view pem);
/// The private key of a PEM text; null when there is none.
[[nodiscard]] key_ptr read_key(std::string_view pem);

/// The URIs among a certificate's alternative names.
[[nodiscard]] std::vector<std::string> uris_of(const X509* certificate);
/// Who a leaf names: exactly one URI, of our form; with serial and end.
[[nodiscard]] result<peer_identity> identity_of(X509* certificate);

} // namespace consort::links
