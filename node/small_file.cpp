// SPDX-License-Identifier: Apache-2.0
#include "node/small_file.hpp"

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

} // namespace consort::node
