// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The folder where `consort cert` keeps a cluster's authority: ca.pem, ca-key.pem, revoked.txt, a
/// log of all that was issued (issued.txt), and one credentials folder for each name, ready to be
/// copied to its host. Names are unique whatever their role. Blocking; one writer at a time.

#include "links/certificates.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace consort::cli {

inline constexpr int days_max = 3'650; ///< A leaf does not outlive its authority.
inline constexpr std::int64_t expiry_warning_s = 30 * links::day_s;
inline constexpr std::size_t issued_max = 100'000; ///< Lines of issued.txt that are read.

/// A certificate as `consort cert show` lists it.
struct certificate_row {
  links::peer_identity identity;
  std::filesystem::path folder; ///< Of its files; empty when only the log knows it.
  bool revoked = false;
};

/// `valid`, `expires in 12d` when that is less than expiry_warning_s, `expired` or `revoked`.
[[nodiscard]] std::string state_of(const certificate_row& row, std::int64_t now_unix_s);
/// `2027-11-24 10:00 UTC`.
[[nodiscard]] std::string format_date(std::int64_t unix_s);
/// The certificate of a credentials folder, or of a PEM file. Returns: `no_credentials`, or what
/// links::inspect() says.
[[nodiscard]] result<certificate_row> read_certificate_row(const std::filesystem::path& place);

/// Where the authority is unless `--dir` says otherwise.
[[nodiscard]] std::filesystem::path default_authority(const std::string& data_dir);

/// The credentials folder that `--cert` means: that folder, or what is called so below the default
/// authority, where `consort cert node NAME` made it. Empty stays empty. Returns: `no_credentials`
/// saying where it looked.
[[nodiscard]] result<std::string> find_credentials(const std::string& given,
                                                   const std::filesystem::path& authority);

class authority_folder {
public:
  /// Makes an authority. Returns: `already_there` when the folder has one.
  [[nodiscard]] static result<authority_folder> create(std::filesystem::path folder,
                                                       const std::string& cluster);
  /// Returns: `no_authority`, naming the command that makes one.
  [[nodiscard]] static result<authority_folder> open(std::filesystem::path folder);

  /// Issues for a new name and writes its folder. Returns: `already_there`, `bad_identity`.
  [[nodiscard]] result<certificate_row> issue(links::peer_role role, const std::string& name,
                                              int days) const;
  /// A new certificate and key for a name that has one; the old one stays valid until it expires.
  [[nodiscard]] result<certificate_row> renew(const std::string& name, int days) const;
  /// Revokes every certificate that the name ever got, or one serial; writes revoked.txt here and
  /// in each name's folder, so that a scheduler which runs from one of them sees it. Returns: the
  /// serials.
  [[nodiscard]] result<std::vector<std::string>> revoke(const std::string& name_or_serial) const;

  /// One row for each name's present certificate, in order of name.
  [[nodiscard]] result<std::vector<certificate_row>> list() const;
  [[nodiscard]] const std::string& cluster() const { return cluster_; }
  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }

private:
  authority_folder(std::filesystem::path folder, links::key_pair authority, std::string cluster)
      : folder_(std::move(folder)),
        authority_(std::move(authority)),
        cluster_(std::move(cluster)) {}
  [[nodiscard]] result<certificate_row> write(const links::leaf_request& wanted) const;
  [[nodiscard]] result<done> log(const links::peer_identity& issued) const;
  [[nodiscard]] result<std::vector<links::peer_identity>> issued() const;
  [[nodiscard]] std::vector<std::filesystem::path> leaf_folders() const;

  std::filesystem::path folder_;
  links::key_pair authority_;
  std::string cluster_;
};

} // namespace consort::cli
