// SPDX-License-Identifier: Apache-2.0
#include "node/small_file.hpp"

#include <array>
#include <cstdio>
#include <fstream>

namespace consort::node {

bool replace_file(const std::string& path, std::string_view text) {
  const auto fresh = path + ".new";
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file << text;
  file.close(); // What a stream holds back may be what the disk has no room for.
  if (file && std::rename(fresh.c_str(), path.c_str()) == 0)
    return true;
  std::remove(fresh.c_str());
  return false;
}

std::optional<std::string> read_whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 16384> part; // NOLINT(*-member-init): filled before it is read
  while (file.good()) {
    file.read(part.data(), part.size());
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof() || file.bad())
    return std::nullopt;
  return text;
}

} // namespace consort::node
