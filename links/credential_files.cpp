// SPDX-License-Identifier: Apache-2.0
// The folder of credentials on disk: bounded reads, private and whole writes.
#include "links/credential_files.hpp"
#include "links/certificates.hpp"
#include "links/limits.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace consort::links {

namespace fs = std::filesystem;

namespace {

constexpr mode_t private_mode = 0600;

error cannot(const char* what, const fs::path& file) {
  return {recovery::refuse, "cannot_write",
          std::string("cannot ") + what + " " + file.string() + ": " + std::strerror(errno)};
}

bool write_whole(int file, std::string_view text) {
  while (!text.empty()) {
    const auto count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return ::fsync(file) == 0;
}

/// Through a second name, so that a reader sees the old text or the new one.
result<done> write_private(const fs::path& file, std::string_view text) {
  const auto beside = fs::path(file.string() + ".new");
  const int descriptor
      = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, private_mode);
  if (descriptor < 0)
    return cannot("create", beside);
  const bool written = ::fchmod(descriptor, private_mode) == 0 && write_whole(descriptor, text);
  const bool closed = ::close(descriptor) == 0;
  if (!written || !closed || ::rename(beside.c_str(), file.c_str()) != 0) {
    auto failure = cannot("write", file);
    ::unlink(beside.c_str());
    return failure;
  }
  return done{};
}

result<done> make_folder(const fs::path& folder) {
  std::error_code failed;
  if (fs::create_directories(folder, failed); failed)
    return error{recovery::refuse, "cannot_write",
                 "cannot create " + folder.string() + ": " + failed.message()};
  return done{};
}

/// To open a pipe waits for whoever writes it, and a device may have no end. Folders are told by
/// whoever reads them.
bool is_no_file(const fs::path& file) {
  std::error_code failed;
  const auto found = fs::status(file, failed);
  return fs::exists(found) && !fs::is_regular_file(found) && !fs::is_directory(found);
}

bool serial_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

} // namespace

result<std::string> read_bounded(const fs::path& file) {
  if (is_no_file(file))
    return error{recovery::refuse, "no_credentials", file.string() + " is no regular file"};
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return error{recovery::refuse, "no_credentials",
                 "cannot read " + file.string() + ": " + std::strerror(errno)};
  std::string text(limits::pem_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > limits::pem_bytes_max)
    return error{recovery::refuse, "bad_certificate",
                 file.string() + " is larger than " + std::to_string(limits::pem_bytes_max)
                     + " bytes"};
  return text;
}

bool others_may_read(const fs::path& file) {
  struct stat about {};
  return ::stat(file.c_str(), &about) == 0 && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

result<done> write_authority(const fs::path& folder, const key_pair& authority) {
  for (const auto name : {authority_file, authority_key_file}) {
    std::error_code ignored;
    if (fs::exists(folder / name, ignored))
      return error{recovery::refuse, "already_there",
                   (folder / name).string()
                       + " exists; a new authority would orphan every certificate of the old one"};
  }
  if (const auto made = make_folder(folder); !made)
    return made;
  if (const auto key = write_private(folder / authority_key_file, authority.key); !key)
    return key;
  return write_private(folder / authority_file, authority.certificate);
}

result<key_pair> read_authority(const fs::path& folder) {
  auto certificate = read_bounded(folder / authority_file);
  if (!certificate)
    return certificate.failure();
  auto key = read_bounded(folder / authority_key_file);
  if (!key)
    return key.failure();
  return key_pair{std::move(*certificate), std::move(*key)};
}

result<done> write_leaf(const fs::path& folder, const std::string& authority_pem,
                        const key_pair& leaf) {
  if (const auto made = make_folder(folder); !made)
    return made;
  if (const auto authority = write_private(folder / authority_file, authority_pem); !authority)
    return authority;
  if (const auto key = write_private(folder / key_file, leaf.key); !key)
    return key;
  return write_private(folder / certificate_file, leaf.certificate);
}

result<std::vector<std::string>> read_revoked(const fs::path& folder) {
  const auto file = folder / revoked_file;
  const auto unreadable = [&](const std::string& why) {
    return error{recovery::refuse, "bad_revocation",
                 file.string() + " cannot be read: " + why
                     + "; who is revoked must be known before anybody is let in"};
  };
  std::vector<std::string> serials;
  std::error_code failed;
  const bool there = fs::exists(file, failed);
  if (failed)
    return unreadable(failed.message());
  if (!there)
    return serials;
  if (is_no_file(file))
    return unreadable("it is no regular file");
  std::ifstream in(file);
  if (!in)
    return unreadable(std::strerror(errno));
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    line.resize(std::min(line.size(), line.find('#')));
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty())
      continue;
    if (!std::all_of(line.begin(), line.end(), serial_digit)
        || serials.size() == limits::revoked_max)
      return error{recovery::refuse, "bad_revocation",
                   file.string() + ":" + std::to_string(number)
                       + ": a serial is lower-case hex, and there are at most "
                       + std::to_string(limits::revoked_max)};
    serials.push_back(line);
  }
  if (in.bad())
    return unreadable(std::strerror(errno));
  return serials;
}

result<done> add_revoked(const fs::path& folder, const std::vector<std::string>& serials) {
  auto known = read_revoked(folder);
  if (!known)
    return known.failure();
  for (const auto& serial : serials) {
    if (serial.empty() || !std::all_of(serial.begin(), serial.end(), serial_digit))
      return error{recovery::refuse, "bad_revocation",
                   "`" + serial + "` is no serial; they are lower-case hex"};
    if (std::find(known->begin(), known->end(), serial) == known->end())
      known->push_back(serial);
  }
  if (known->size() > limits::revoked_max)
    return error{recovery::refuse, "bad_revocation",
                 "there are at most " + std::to_string(limits::revoked_max) + " revoked serials"};
  std::string text = "# Serials of certificates that no longer count, one a line.\n";
  for (const auto& serial : *known)
    text += serial + "\n";
  return write_private(folder / revoked_file, text);
}

} // namespace consort::links
