// SPDX-License-Identifier: Apache-2.0
#include "links/openssl.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace consort::links {

namespace {

bio_ptr memory_of(std::string_view text) {
  return bio_ptr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string hex_serial(const X509* certificate) {
  const bignum_ptr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* const digits = number ? BN_bn2hex(number.get()) : nullptr;
  if (digits == nullptr)
    return {};
  std::string text(digits);
  OPENSSL_free(digits);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  const auto first = text.find_first_not_of('0');
  return first == std::string::npos ? "0" : text.substr(first);
}

std::int64_t end_of(const X509* certificate) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1)
    return 0;
  return timegm(&parts);
}

} // namespace

int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return 0;
}

std::string take_error() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0)
    return "unknown";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

x509_ptr read_certificate(std::string_view pem) {
  const clean_errors scope;
  const auto memory = memory_of(pem);
  return x509_ptr(memory ? PEM_read_bio_X509(memory.get(), nullptr, no_passphrase, nullptr)
                         : nullptr);
}

key_ptr read_key(std::string_view pem) {
  const clean_errors scope;
  const auto memory = memory_of(pem);
  return key_ptr(memory ? PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr)
                        : nullptr);
}

std::vector<std::string> uris_of(const X509* certificate) {
  std::vector<std::string> found;
  const names_ptr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int at = 0; names && at < sk_GENERAL_NAME_num(names.get()); ++at) {
    const auto* const name = sk_GENERAL_NAME_value(names.get(), at);
    if (name->type != GEN_URI)
      continue;
    const auto* const text = name->d.uniformResourceIdentifier;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return found;
}

result<peer_identity> identity_of(X509* certificate) {
  const clean_errors scope;
  const auto uris = uris_of(certificate);
  if (uris.size() != 1)
    return error{recovery::refuse, "bad_identity",
                 "a certificate must name one URI consort://CLUSTER/ROLE/NAME; this one names "
                     + std::to_string(uris.size())};
  auto identity = parse_uri(uris.front());
  if (!identity)
    return identity;
  identity->serial = hex_serial(certificate);
  identity->not_after = end_of(certificate);
  return identity;
}

} // namespace consort::links
