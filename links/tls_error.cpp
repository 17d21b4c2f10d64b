// SPDX-License-Identifier: Apache-2.0
#include "links/tls_error.hpp"

#include "links/refusal.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

namespace consort::links {

namespace asio = boost::asio;

namespace {

bool tls_reason(boost::system::error_code failed, int& reason) {
  if (failed.category() != asio::error::get_ssl_category())
    return false;
  reason = ERR_GET_REASON(static_cast<unsigned long>(failed.value()));
  return true;
}

/// The other end said what it thinks of our certificate. Under TLS 1.3 the dialling end is done
/// before its certificate was judged, and hears this as an alert to its first read.
bool certificate_alert(boost::system::error_code failed) {
  int reason = 0;
  if (!tls_reason(failed, reason))
    return false;
  switch (reason) {
  case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
  case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
  case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return true;
  default: return false;
  }
}

} // namespace

error describe_handshake(boost::system::error_code failed, const SSL* connection,
                         const std::string& address) {
  int reason = 0;
  if (tls_reason(failed, reason) && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return refuse("no_certificate", address + " showed no certificate");
  if (certificate_alert(failed))
    return describe_end(failed, address);
  const auto verdict = SSL_get_verify_result(connection);
  if (verdict == X509_V_ERR_CERT_HAS_EXPIRED)
    return refuse("certificate_expired", "the certificate of " + address + " has expired");
  if (verdict != X509_V_OK)
    return refuse("foreign_certificate", "the certificate of " + address
                                             + " is not of this cluster's authority: "
                                             + X509_verify_cert_error_string(verdict));
  return refuse("tls_failed", "no TLS with " + address + ": " + failed.message());
}

error describe_end(boost::system::error_code failed, const std::string& address) {
  if (certificate_alert(failed))
    return refuse("certificate_refused",
                  address + " does not accept our certificate: " + failed.message());
  if (failed == asio::error::eof || failed == asio::ssl::error::stream_truncated)
    return {recovery::retry_later, "link_lost", address + " closed the link"};
  return {recovery::retry_later, "link_lost",
          "the link to " + address + " broke: " + failed.message()};
}

} // namespace consort::links
