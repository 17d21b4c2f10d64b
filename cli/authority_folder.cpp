// SPDX-License-Identifier: Apache-2.0
#include "cli/authority_folder.hpp"

#include "links/limits.hpp"
#include "node/small_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace consort::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* log_file = "issued.txt";

error refuse(const char* code, std::string message) {
  return {recovery::refuse, code, std::move(message)};
}

bool present(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

/// A name becomes a folder beside the authority's own files.
result<done> check_folder_name(const std::string& name) {
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  if (!links::valid_name(name) || name.front() == '.' || ends(".pem") || ends(".txt"))
    return refuse("usage", "`" + name
                               + "` cannot be a name here: use letters, digits, `.`, `_` and `-`, "
                                 "not a leading dot, nor .pem or .txt at the end");
  return done{};
}

result<std::string> read_pem(const fs::path& file) {
  auto text = node::read_file_head(file, links::limits::pem_bytes_max);
  if (text)
    return *std::move(text);
  const auto why = errno;
  std::error_code ignored;
  const bool no_file = fs::exists(file, ignored) && !fs::is_regular_file(file, ignored);
  return refuse("no_credentials", "cannot read " + file.string() + ": "
                                      + (no_file ? "it is no regular file" : std::strerror(why)));
}

bool is_serial(const std::string& text) {
  constexpr std::size_t digits_min = 16; // Shorter ones are more likely a mistyped name.
  return text.size() >= digits_min
         && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

} // namespace

std::string format_date(std::int64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  char text[32] = {};
  if (gmtime_r(&seconds, &parts) == nullptr
      || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts) == 0)
    return {};
  return text;
}

std::string state_of(const certificate_row& row, std::int64_t now_unix_s) {
  const auto left = row.identity.not_after - now_unix_s;
  if (row.revoked)
    return "revoked";
  if (left <= 0)
    return "expired";
  return left < expiry_warning_s ? "expires in " + std::to_string(left / links::day_s) + "d"
                                 : "valid";
}

result<certificate_row> read_certificate_row(const fs::path& place) {
  std::error_code ignored;
  const bool folder = fs::is_directory(place, ignored);
  const auto text = read_pem(folder ? place / links::certificate_file : place);
  if (!text)
    return text.failure();
  auto identity = links::inspect(*text);
  if (!identity)
    return refuse(identity.failure().code.c_str(),
                  place.string() + ": " + identity.failure().message);
  const auto home = folder ? place : place.parent_path();
  const auto revoked = links::read_revoked(home);
  if (!revoked)
    return revoked.failure();
  const bool listed
      = std::find(revoked->begin(), revoked->end(), identity->serial) != revoked->end();
  return certificate_row{std::move(*identity), home, listed};
}

fs::path default_authority(const std::string& data_dir) {
  return fs::path(data_dir) / "certs";
}

result<std::string> find_credentials(const std::string& given, const fs::path& authority) {
  std::error_code failed;
  if (given.empty() || fs::is_directory(given, failed))
    return given;
  if (fs::path(given).is_absolute())
    return refuse("no_credentials", "there is no folder " + given + " with a certificate");
  const auto issued = authority / given;
  if (fs::is_directory(issued, failed))
    return issued.string();
  return refuse("no_credentials", "there is no folder " + given
                                      + " with a certificate here, and no " + issued.string());
}

result<authority_folder> authority_folder::create(fs::path folder, const std::string& cluster) {
  auto authority = links::make_authority(cluster);
  if (!authority)
    return authority.failure();
  if (const auto written = links::write_authority(folder, *authority); !written)
    return written.failure();
  return authority_folder(std::move(folder), std::move(*authority), cluster);
}

result<authority_folder> authority_folder::open(fs::path folder) {
  if (!present(folder / links::authority_key_file))
    return refuse("no_authority", "no certificate authority in " + folder.string()
                                      + ": make one with `consort cert init`, or name its folder "
                                        "with --dir");
  auto authority = links::read_authority(folder);
  if (!authority)
    return authority.failure();
  auto cluster = links::cluster_of(authority->certificate);
  if (!cluster)
    return cluster.failure();
  return authority_folder(std::move(folder), std::move(*authority), std::move(*cluster));
}

result<certificate_row> authority_folder::issue(links::peer_role role, const std::string& name,
                                                int days) const {
  if (const auto fine = check_folder_name(name); !fine)
    return fine.failure();
  if (present(folder_ / name))
    return refuse("already_there", (folder_ / name).string()
                                       + " exists: choose another name, or `consort cert renew "
                                       + name + "`");
  return write({role, name, days * links::day_s, 0});
}

result<certificate_row> authority_folder::renew(const std::string& name, int days) const {
  if (const auto fine = check_folder_name(name); !fine)
    return fine.failure();
  const auto before = read_certificate_row(folder_ / name);
  if (!before)
    return refuse("no_credentials", "no certificate named " + name + " in " + folder_.string()
                                        + ": see `consort cert show`");
  return write({before->identity.role, name, days * links::day_s, 0});
}

result<certificate_row> authority_folder::write(const links::leaf_request& wanted) const {
  const auto leaf = links::issue(authority_, wanted);
  if (!leaf)
    return leaf.failure();
  auto identity = links::inspect(leaf->certificate);
  if (!identity)
    return identity.failure();
  // Logged first: a certificate that nobody knows of could not be revoked by its name.
  if (const auto logged = log(*identity); !logged)
    return logged.failure();
  const auto folder = folder_ / wanted.name;
  if (const auto written = links::write_leaf(folder, authority_.certificate, *leaf); !written)
    return written.failure();
  const auto revoked = links::read_revoked(folder_);
  if (!revoked)
    return revoked.failure();
  if (!revoked->empty())
    if (const auto copied = links::add_revoked(folder, *revoked); !copied)
      return copied.failure();
  return certificate_row{std::move(*identity), folder, false};
}

result<done> authority_folder::log(const links::peer_identity& issued) const {
  const auto file = folder_ / log_file;
  const auto line = issued.serial + " " + std::string(links::name_of(issued.role)) + " "
                    + issued.name + " " + std::to_string(issued.not_after) + "\n";
  const int out
      = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR);
  const bool written
      = out >= 0 && ::write(out, line.data(), line.size()) == static_cast<ssize_t>(line.size())
        && ::fsync(out) == 0;
  auto failure
      = refuse("cannot_write", "cannot write " + file.string() + ": " + std::strerror(errno));
  if (out >= 0)
    ::close(out);
  return written ? result<done>(done{}) : result<done>(std::move(failure));
}

result<std::vector<links::peer_identity>> authority_folder::issued() const {
  std::vector<links::peer_identity> all;
  std::ifstream in(folder_ / log_file);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    links::peer_identity one;
    std::string role;
    fields >> one.serial >> role >> one.name >> one.not_after;
    const auto known = links::parse_role(role);
    if (!fields || !known || all.size() == issued_max)
      return refuse("bad_log", (folder_ / log_file).string() + ":" + std::to_string(all.size() + 1)
                                   + ": not `serial role name end`, or more than "
                                   + std::to_string(issued_max) + " lines");
    one.role = *known;
    one.cluster = cluster_;
    all.push_back(std::move(one));
  }
  return all;
}

std::vector<fs::path> authority_folder::leaf_folders() const {
  std::vector<fs::path> folders;
  std::error_code failed;
  for (fs::directory_iterator at(folder_, failed), end; !failed && at != end; at.increment(failed))
    if (present(at->path() / links::certificate_file))
      folders.push_back(at->path());
  std::sort(folders.begin(), folders.end());
  return folders;
}

result<std::vector<std::string>> authority_folder::revoke(const std::string& name_or_serial) const {
  const auto known = issued();
  if (!known)
    return known.failure();
  std::vector<std::string> serials;
  for (const auto& one : *known)
    if (one.name == name_or_serial || one.serial == name_or_serial)
      serials.push_back(one.serial);
  if (serials.empty() && is_serial(name_or_serial))
    serials.push_back(name_or_serial); // Issued before the log, or elsewhere with the same key.
  if (serials.empty())
    return refuse("no_credentials", "no certificate has the name or serial `" + name_or_serial
                                        + "`: see `consort cert show`");
  if (const auto added = links::add_revoked(folder_, serials); !added)
    return added.failure();
  for (const auto& folder : leaf_folders())
    if (const auto added = links::add_revoked(folder, serials); !added)
      return added.failure();
  return serials;
}

result<std::vector<certificate_row>> authority_folder::list() const {
  const auto revoked = links::read_revoked(folder_);
  if (!revoked)
    return revoked.failure();
  std::vector<certificate_row> rows;
  for (const auto& folder : leaf_folders()) {
    auto row = read_certificate_row(folder);
    if (!row)
      return row.failure();
    row->revoked
        = row->revoked
          || std::find(revoked->begin(), revoked->end(), row->identity.serial) != revoked->end();
    rows.push_back(std::move(*row));
  }
  return rows;
}

} // namespace consort::cli
