// SPDX-License-Identifier: Apache-2.0
#include "cli/join_token.hpp"

#include <openssl/rand.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace consort::cli {

namespace {

std::string path_in(const std::string& data_dir) {
  return data_dir + "/join-token";
}

error file_error(const std::string& what, const std::string& path) {
  return {recovery::refuse, "join_token",
          "cannot " + what + " the join token " + path + ": " + std::strerror(errno)};
}

result<std::string> random_hex() {
  std::array<unsigned char, join_token_bytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return error{recovery::retry_later, "no_randomness", "the system's random generator failed"};
  constexpr auto digits = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  return text;
}

} // namespace

result<std::string> read_join_token(const std::string& data_dir) {
  const auto path = path_in(data_dir);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return errno == ENOENT ? result<std::string>(std::string()) : file_error("open", path);
  std::string text(join_token_file_bytes_max + 1, '\0');
  const auto got = ::read(file, text.data(), text.size());
  ::close(file);
  if (got < 0)
    return file_error("read", path);
  text.resize(static_cast<std::size_t>(got));
  text = trimmed(std::move(text));
  if (text.empty() || text.size() > join_token_file_bytes_max)
    return error{recovery::refuse, "join_token",
                 path + " holds no join token: remove it, and the next start makes one"};
  return text;
}

result<std::string> ensure_join_token(const std::string& data_dir) {
  auto present = read_join_token(data_dir);
  return present && present->empty() ? rotate_join_token(data_dir) : present;
}

result<std::string> rotate_join_token(const std::string& data_dir) {
  auto token = random_hex();
  if (!token)
    return token;
  std::error_code failed;
  std::filesystem::create_directories(data_dir, failed);
  const auto path = path_in(data_dir);
  const auto fresh = path + ".new"; // Renamed over the old one, so that no reader sees half of it.
  const int file
      = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0)
    return file_error("write", fresh);
  const auto line = *token + "\n";
  const bool written = ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size())
                       && ::fsync(file) == 0;
  ::close(file);
  if (!written || std::rename(fresh.c_str(), path.c_str()) != 0)
    return file_error("write", path);
  return token;
}

} // namespace consort::cli
