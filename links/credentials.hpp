// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What this process shows to others and believes of them: its certificate, its cluster's
/// authority, and the serials that no longer count. Thread-safe. Connections keep the context that
/// they began with, so reload() disturbs nobody; revocation is asked anew at every use.

#include "links/identity.hpp"

#include <boost/asio/ssl/context.hpp>

#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace consort::links {

using tls_context = std::shared_ptr<boost::asio::ssl::context>;

class credentials {
public:
  /// Reads a folder (layout in certificates.hpp). Returns: an error (refuse) that names the file:
  /// `no_credentials`, `bad_certificate`, `key_exposed` (a key that others may read),
  /// `foreign_certificate`, `certificate_expired`, `bad_revocation`.
  [[nodiscard]] static result<std::shared_ptr<credentials>> load(std::filesystem::path folder);

  /// TLS 1.2 or later, peer's certificate demanded and checked against the authority, no session
  /// resumption. The stream made from it need not keep it.
  [[nodiscard]] tls_context server_context() const;
  [[nodiscard]] tls_context client_context() const;

  /// Who is at the other end of a finished handshake. Returns: `no_certificate`, `bad_identity`,
  /// `foreign_certificate` (another cluster's), `certificate_expired`, `certificate_revoked`; all
  /// refuse.
  [[nodiscard]] result<peer_identity> identify(SSL* connection) const;

  /// Who this process is.
  [[nodiscard]] peer_identity self() const;

  /// Reads the folder again: new handshakes use what it holds now, revocations are added. On an
  /// error everything stays as it was.
  [[nodiscard]] result<done> reload();

  /// From now on these serials are refused. Links that exist notice within a heartbeat; a guard's
  /// drop() makes it at once.
  void revoke(const std::vector<std::string>& serials);
  [[nodiscard]] bool revoked(const std::string& serial) const;

private:
  /// One reading of the folder.
  struct material {
    peer_identity self;
    tls_context server;
    tls_context client;
    std::vector<std::string> revoked;
  };

  explicit credentials(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] static result<material> read(const std::filesystem::path& folder);
  void adopt(material read);

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  material now_;
  std::set<std::string> revoked_;
};

} // namespace consort::links
