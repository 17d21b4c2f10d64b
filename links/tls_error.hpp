// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Failures of TLS in our words. Private to links/.

#include "scheduler/result.hpp"

#include <boost/system/error_code.hpp>
#include <openssl/ssl.h>

namespace consort::links {

/// Of a handshake in which we judged the other end's certificate: `certificate_expired`,
/// `foreign_certificate`, `no_certificate`, `certificate_refused` (ours, by the other end) or
/// `tls_failed`.
[[nodiscard]] error describe_handshake(boost::system::error_code failed, const SSL* connection,
                                       const std::string& address);

/// Of a read on a finished connection: `certificate_refused` or `link_lost`.
[[nodiscard]] error describe_end(boost::system::error_code failed, const std::string& address);

} // namespace consort::links
