// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Makes and reads the certificates of a cluster: one authority of its own, EC P-256, one leaf per
/// process whose only name is the URI of identity.hpp. A credentials folder holds `ca.pem`,
/// `cert.pem`, `key.pem`, all of mode 0600, and perhaps `revoked.txt` (a serial per line);
/// `ca-key.pem` lies only where certificates are made. Thread-safe: no state.

#include "links/identity.hpp"

#include <filesystem>
#include <vector>

namespace consort::links {

inline constexpr std::string_view authority_file = "ca.pem";
inline constexpr std::string_view authority_key_file = "ca-key.pem";
inline constexpr std::string_view certificate_file = "cert.pem";
inline constexpr std::string_view key_file = "key.pem";
inline constexpr std::string_view revoked_file = "revoked.txt";

inline constexpr std::int64_t day_s = 86'400;
inline constexpr std::int64_t authority_valid_s = 3'650 * day_s;
inline constexpr std::int64_t leaf_valid_s = 365 * day_s;

/// A certificate and its private key, both PEM.
struct key_pair {
  std::string certificate;
  std::string key;
};

/// What to put into a leaf.
struct leaf_request {
  peer_role role = peer_role::node;
  std::string name;
  std::int64_t valid_for_s = leaf_valid_s;
  std::int64_t valid_from_s = 0; ///< Unix time; 0 = now, less an hour for clocks that differ.
};

/// A new authority for `cluster`, whose name is part of it.
[[nodiscard]] result<key_pair> make_authority(const std::string& cluster,
                                              std::int64_t valid_for_s = authority_valid_s);
/// A leaf of that authority's cluster. Returns: `bad_identity`, `bad_certificate`.
[[nodiscard]] result<key_pair> issue(const key_pair& authority, const leaf_request& wanted);

/// Who a leaf's first certificate names; signatures and dates are not judged here.
[[nodiscard]] result<peer_identity> inspect(std::string_view certificate_pem);
/// The cluster that an authority's certificate names.
[[nodiscard]] result<std::string> cluster_of(std::string_view authority_pem);

/// Writes ca.pem, ca-key.pem. Never replaces an authority: `already_there` (refuse).
[[nodiscard]] result<done> write_authority(const std::filesystem::path& folder,
                                           const key_pair& authority);
[[nodiscard]] result<key_pair> read_authority(const std::filesystem::path& folder);
/// Writes ca.pem, cert.pem, key.pem, each whole or not at all; replaces what was there (rotation).
[[nodiscard]] result<done> write_leaf(const std::filesystem::path& folder,
                                      const std::string& authority_pem, const key_pair& leaf);

/// Serials of revoked.txt; none when there is no such file. Returns: `bad_revocation` with line.
[[nodiscard]] result<std::vector<std::string>> read_revoked(const std::filesystem::path& folder);
/// Adds serials to revoked.txt, once each.
[[nodiscard]] result<done> add_revoked(const std::filesystem::path& folder,
                                       const std::vector<std::string>& serials);

} // namespace consort::links
